"""Pseudo-labels of new clips, and the guards that stop them."""
