"""Prefect flows and the command line: each flow reads like a method section."""

import os

os.environ.setdefault("DO_NOT_TRACK", "1")  # of Prefect, see `tasks`
