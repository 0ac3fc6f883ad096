"""Prefect flows and the command line: each flow reads like a method section."""
