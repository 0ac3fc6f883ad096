"""Watching a folder or bucket: new clips start a flow, once."""
