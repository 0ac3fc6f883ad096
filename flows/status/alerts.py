"""Alerts that were triggered lately, where the Prefect server answers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from rich.markup import escape

from flows.noteworthy import events_api
from infra.errors import PrefectUnavailable
from infra.prefect_api import PrefectRefused
from tasks.stage.workspace import Workspace

DAYS = 7
"""Prefect keeps events no longer."""
TIMEOUT_SECONDS = 0.9
PREFIX = "mer: "
"""As `flows.deploying.alerts` names them, which loads Prefect."""


def alerts(space: Workspace) -> Iterator[str]:
    """A line for each alert that was triggered within `DAYS`."""
    if (api := events_api(space.settings, TIMEOUT_SECONDS)) is None:
        return
    try:
        events = api.triggered(datetime.now(UTC) - timedelta(days=DAYS))
    except (PrefectUnavailable, PrefectRefused):
        return  # the servers are another section's
    times: dict[str, list[str]] = {}
    for event in events:
        name = str(event["resource"].get("prefect.resource.name", ""))
        if name.startswith(PREFIX):
            times.setdefault(name.removeprefix(PREFIX), []).append(str(event["occurred"]))
    for name, occurred in sorted(times.items()):
        last = f"{datetime.fromisoformat(max(occurred)).astimezone():%Y-%m-%d %H:%M}"
        often = "" if len(occurred) == 1 else f", {len(occurred)} times in {DAYS} days"
        yield f"[yellow]alert[/] {escape(name)}: {last}{often} (docs/observability.md)"
