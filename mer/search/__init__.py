"""Choosing hyper-parameters: what is tried, what is given up early, and what a result cost."""
