"""Fusion of the streams into emotion and valence. Imports nothing by itself; options are in `config`."""
