"""Prefect tasks: resolve references, call one `mer` function, commit, return a small reference."""

import os

# Prefect reads it when it is imported, which every module here does: on a terminal it would print a notice among our lines,
# and tell its makers what is called, whatever its server is told
os.environ.setdefault("DO_NOT_TRACK", "1")
