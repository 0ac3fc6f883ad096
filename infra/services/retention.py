"""How long local servers keep what they recorded: Prefect removes old runs and events by itself, hourly."""

from __future__ import annotations

from infra.settings import Settings

_DAY = 86_400
_EVENT_DAYS = 7
"""Prefect's default for events; none are kept longer than runs."""
_SHORTEST = 2 * 3600
"""Prefect takes no period of an hour or less."""


def prefect_retention(settings: Settings) -> dict[str, str]:
    """Variables of a Prefect server that removes runs that ended before the window, their task runs and logs, and old events.

    Where retention is off there are none.
    """
    if not settings.retention_days:
        return {}
    seconds = max(int(settings.retention_days * _DAY), _SHORTEST)
    return {
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs,orphans",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(seconds),
        "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": f"PT{min(seconds, _EVENT_DAYS * _DAY)}S",
    }
