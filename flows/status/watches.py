"""Watches of the home: whether they run, and what they have started."""

from __future__ import annotations

from collections.abc import Iterator

from rich.markup import escape

from flows.watching.background import known_watches
from infra.services.deaths import has_died, was_started
from tasks.stage.workspace import Workspace


def watches(space: Workspace) -> Iterator[str]:
    """A line for each watch that was started in the background."""
    for name, arguments in known_watches(space.settings).items():
        if not was_started(name, space.settings):
            state = "stopped: `mer up` starts it"
        elif has_died(name, space.settings):
            state = "died, and is started again"
        else:
            state = f"runs; its lines: services/{name}.log"
        yield f"[bold]watch[/] {escape(' '.join(arguments[1:]))}: {state}"
