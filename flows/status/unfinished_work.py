"""Stages that are at work, and those that were left unfinished."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tasks.stage.work_folder import in_use
from tasks.stage.workspace import Workspace


def unfinished_work(space: Workspace) -> Iterator[str]:
    """One line for all stages at work, one for each that a kill left."""
    folder = space.settings.checkpoint_folder
    stages = sorted(path for path in folder.glob("*/*") if path.is_dir()) if folder.is_dir() else []
    running = {path for path in stages if in_use(path)}
    if running:
        counts = Counter(path.parent.name for path in sorted(running))
        yield "at work now, or waiting for their turn: " + ", ".join(
            f"{n} {kind}" for kind, n in counts.items()
        )
    for path in stages:
        if path not in running:
            yield f"unfinished: {path.parent.name} {path.name[:12]} (the next run goes on from its checkpoint)"
