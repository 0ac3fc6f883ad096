"""`python -m flows.cli` is `mer`."""

from flows.cli import main

main()
