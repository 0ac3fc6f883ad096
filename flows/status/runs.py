"""Flow runs at work, and those whose process is dead and which are not marked as crashed yet."""

from __future__ import annotations

from collections.abc import Iterator

from rich.markup import escape

from flows.supervision.supervisor import is_supervised
from infra.machine import has_ended
from tasks.stage.workspace import Workspace


def runs(space: Workspace) -> Iterator[str]:
    """A line for each."""
    dead = 0
    for row in space.catalogue.run_processes():
        since = f"{row.started_at.astimezone():%Y-%m-%d %H:%M}"
        what = (
            f"run of {row.flow or 'a flow'} since {since}, process {row.process.number} on {escape(row.host)}"
        )
        if has_ended(row.process):
            dead += 1
            yield f"dead: {what}"
        else:
            yield f"at work: {what}"
    if dead and not is_supervised(space.settings):
        yield "dead runs are marked as crashed by the next run, or by `mer up`"
