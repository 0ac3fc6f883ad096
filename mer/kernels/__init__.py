"""Kernel and linear systems over streams of pooled hidden states: single ones, and ensembles searched by inner folds."""
