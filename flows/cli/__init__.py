"""The command line `mer`."""

from flows.cli.commands import app, main

__all__ = ["app", "main"]
