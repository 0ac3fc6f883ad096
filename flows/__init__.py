"""Prefect flows and the command line: each flow reads like a method section."""

import os

# Prefect's client reads it when it is imported, here and in processes that are started: on a terminal it would print a
# notice among our lines, and it may tell its makers what is called, whatever its server is told
os.environ.setdefault("DO_NOT_TRACK", "1")
