"""The report of a model version: what a run keeps for it, and the collection of its figures, a module a section."""
