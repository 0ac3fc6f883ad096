"""What every start of a flow puts right before it begins: what dead processes left, and what could not be sent.

A step repairs one thing, is quick where there is nothing to repair, and never keeps a run from starting: what it could not do is
said in one line and tried again at the next start. `mer up` and every flow, on the command line or deployed, go through here.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from types import MappingProxyType

from flows.catalogue_care import back_up_once_a_day, write_records
from flows.explained_errors import explained
from flows.supervision.dead_runs import Observer, settle
from infra.catalogue import has_catalogue, open_catalogue
from infra.hidden_secrets import hidden
from infra.prefect_api import PrefectApi
from infra.settings import Settings, load_settings
from infra.tracking import Tracker

logger = logging.getLogger(__name__)


def _send_what_waits(settings: Settings) -> str | None:
    sent = Tracker(settings).replay()
    return f"sent {sent} tracking events that waited for MLflow" if sent else None


def _end_dead_runs(settings: Settings) -> str | None:
    if (api := os.environ.get("PREFECT_API_URL")) is None or not has_catalogue(settings):
        return None
    with open_catalogue(settings) as catalogue:
        rows = catalogue.run_processes()
        crashed = settle(Observer().dead(rows), rows, catalogue, PrefectApi(api), Tracker(settings))
    names = ", ".join(f"{row.flow} of process {row.process.number}" for row in crashed)
    return f"marked as crashed, since their processes are dead: {names}" if crashed else None


_STEPS: Mapping[str, Callable[[Settings], str | None]] = MappingProxyType(
    {
        "dead runs": _end_dead_runs,
        "what waits for MLflow": _send_what_waits,
        "records of the catalogue": write_records,
        "backup of the catalogue": back_up_once_a_day,
    }
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
                said = hidden(f"{type(error).__name__}: {error}")
            line = f"{name}: not put right yet: {said}"
        if line is not None:
            lines.append(line)
    return lines
