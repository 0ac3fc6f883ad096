"""Building blocks of every training run: examples, folds, seeds, checkpoints, losses. Imports nothing by itself."""
