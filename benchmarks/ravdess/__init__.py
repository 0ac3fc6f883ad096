"""RAVDESS on its published speaker-independent folds: the product's flow, adapted blocks, the searched ensemble."""
