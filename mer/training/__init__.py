"""What every training run shares: examples, folds, seeds, checkpoints, losses. Imports nothing by itself."""
