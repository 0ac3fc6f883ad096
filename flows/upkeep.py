"""What every start of a flow puts right before it begins: what dead processes left, and what could not be sent.

A step repairs one thing, is quick where there is nothing to repair, and never keeps a run from starting: what it could not do is
said in one line and tried again at the next start. `mer up` and every flow, on the command line or deployed, go through here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType

from flows.explained_errors import explained
from infra.leftovers import sweep_home
from infra.settings import Settings, load_settings
from infra.tracking import Tracker

logger = logging.getLogger(__name__)


def _send_what_waits(settings: Settings) -> str | None:
    sent = Tracker(settings).replay()
    return f"sent {sent} tracking events that waited for MLflow" if sent else None


def _sweep_leftovers(settings: Settings) -> str | None:
    removed = sweep_home(settings)
    return f"removed {removed} temporary files of writers that were killed" if removed else None


_STEPS: Mapping[str, Callable[[Settings], str | None]] = MappingProxyType(
    {"what waits for MLflow": _send_what_waits, "temporary files": _sweep_leftovers}
)
"""Name of what is repaired -> the repair, which gives a line if it did anything."""


def put_right(settings: Settings | None = None) -> list[str]:
    """Run every step; returns a line for each that repaired something, or could not."""
    settings = settings or load_settings()
    lines: list[str] = []
    for name, step in _STEPS.items():
        try:
            line = step(settings)
        except Exception as error:
            if (said := explained(error)) is None:
                logger.exception("%s: could not be put right", name)
                said = f"{type(error).__name__}: {error}"
            line = f"{name}: not put right yet: {said}"
        if line is not None:
            lines.append(line)
    return lines
