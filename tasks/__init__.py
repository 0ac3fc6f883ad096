"""Prefect tasks: resolve references, call one `mer` function, commit, return a small reference."""
