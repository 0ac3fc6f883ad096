"""Drift of new clips against a training snapshot: tests that know of speakers, and what follows. Imports nothing by itself."""
