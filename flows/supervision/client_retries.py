"""How often Prefect's client tries again: for longer than a run waits for its server, so that the run itself says it."""

from __future__ import annotations

import os

from infra.settings import Settings

RETRIES_VARIABLE = "PREFECT_CLIENT_MAX_RETRIES"
LEVEL_VARIABLE = "PREFECT_INTERNAL_LOGGING_LEVEL"
"""What Prefect's own threads print, by a handler of their own: each event that could not be sent, as an error of many lines."""
_SHORTEST = 0.8
"""Prefect waits 2, 4, 8 ... seconds between its attempts, or up to a fifth less."""


def retries(seconds: float) -> str:
    """The fewest retries of Prefect's client that last longer than `seconds`."""
    count = 5
    while _SHORTEST * (2 ** (count + 1) - 2) <= seconds:
        count += 1
    return str(count)


def be_patient(settings: Settings) -> None:
    """Set it for this process and its children, unless the user has, and let Prefect's threads fail silently meanwhile.

    Must run before `prefect` is imported: it reads its settings once.
    """
    os.environ.setdefault(LEVEL_VARIABLE, "CRITICAL")
    os.environ.setdefault(RETRIES_VARIABLE, retries(settings.prefect_timeout_seconds))
