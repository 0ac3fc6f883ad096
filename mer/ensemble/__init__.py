"""Predictions as posteriors, and what combines them. Imports nothing by itself."""
