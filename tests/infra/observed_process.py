"""This process observed for the length of a test, as processes of ours are for their lives."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from infra.catalogue import open_catalogue
from infra.observing import begin, events, flush_totals, observe, totals
from infra.observing.reading import EventQuery, read_events
from infra.settings import Settings


@contextmanager
def observed_process(settings: Settings, name: str = "test") -> Iterator[Settings]:
    """Observe this process as one of a home; afterwards nothing of it is observed."""
    observe(settings, name)
    try:
        yield settings
    finally:
        end_observation()


def end_observation() -> None:
    os.environ.pop(begin.VARIABLE, None)
    events.send_to([], "")
    for logger in map(logging.getLogger, begin.OUR_LOGGERS):
        for handler in list(logger.handlers):
            if isinstance(handler, events.EventHandler | begin._AsBefore):
                logger.removeHandler(handler)
    begin._handler, begin._shows_events = None, False
    if totals._totals is not None:
        totals._totals.end()
        totals._totals = None


def events_of(settings: Settings, **query: Any) -> list[Mapping[str, Any]]:
    return list(read_events(settings, EventQuery(**query)))


def counted(settings: Settings) -> dict[tuple[str, ...], float]:
    """(Name, values of the labels in the order of their names) -> value, after all was written."""
    flush_totals()
    with open_catalogue(settings) as catalogue:
        return {
            (row.name, *(value for _, value in sorted(row.labels.items()))): row.value
            for row in catalogue.totals()
        }
