"""Benchmarks, by question: `python -m benchmarks.NAME [--quick] [--json PATH]`; benchmarks/README.md is their index."""
