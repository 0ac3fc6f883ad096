"""Revisions, oldest first by number. New: `python -m infra.catalogue.migrations MESSAGE`."""
