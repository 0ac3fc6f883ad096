"""Adapters of folds and seeds fitted side by side; meant for a GPU."""
