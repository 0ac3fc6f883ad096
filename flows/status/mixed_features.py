"""Feature sets whose shards were computed by different arithmetic."""

from __future__ import annotations

from collections.abc import Iterator

from rich.markup import escape

from tasks.data.arithmetic import mixed_sets
from tasks.stage.workspace import Workspace


def mixed_features(space: Workspace) -> Iterator[str]:
    """A line for each mixed set."""
    for mixed in mixed_sets(space):
        shards = ", ".join(f"{count} in {name}" for name, count in mixed.shards.items())
        yield f"mixed: features {mixed.key[:12]} have shards {escape(shards)}"
