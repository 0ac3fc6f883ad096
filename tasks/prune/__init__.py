"""Removing what nobody uses any more: mark and sweep over artifacts, rows, copies, work folders, logs and tracked runs.

What is removed, what stays and for how long: docs/upkeep.md.
"""
