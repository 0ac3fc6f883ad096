"""Learning from unlabelled clips through confident predictions. Imports nothing by itself."""
