"""What MLflow has not got yet."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.stage.workspace import Workspace


def tracking(space: Workspace) -> Iterator[str]:
    """A line where events wait."""
    if waiting := space.tracker.waiting():
        yield f"{waiting} tracking events wait for MLflow; they are sent with the next run or by `mer up`"
