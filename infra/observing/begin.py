"""Where a process begins to be observed: its events go to the home's files, and its counts to the catalogue.

Each process of ours says once what it is (`observe`). Processes that it starts to compute (`MER_TASK_RUNNER=processes`, Dask,
Ray) find that in the environment (`observe_if_asked`).
"""

from __future__ import annotations

import logging
import os
import sys

from infra.observing.event_file import EventFile
from infra.observing.events import EventHandler, Sink, is_observed, send_to
from infra.observing.totals import begin_counting
from infra.settings import Settings

OUR_LOGGERS = ("mer", "infra", "tasks", "flows")
VARIABLE = "MER_OBSERVED"
"""Set in a process that is observed, for those that it starts."""
_handler: EventHandler | None = None
_shows_events = False


def observe(settings: Settings, process: str) -> None:
    """Observe this process from now on.

    Args:
        settings: of its home.
        process: what it is, as its events say: `run`, `worker`, `supervisor`, ...
    """
    global _handler, _shows_events
    _shows_events = settings.log_format == "json"
    sinks: list[Sink] = [EventFile(settings)]
    if _shows_events:
        sinks.append(_to_standard_error)
    send_to(sinks, process)
    begin_counting(settings)
    os.environ[VARIABLE] = process
    if _handler is None:
        _handler = EventHandler()
        for name in OUR_LOGGERS:
            logging.getLogger(name).addHandler(_handler)
            logging.getLogger(name).addHandler(_AsBefore(logging.WARNING))


def observe_if_asked(settings: Settings) -> None:
    """Observe a process that an observed one started to compute."""
    if not is_observed() and os.environ.get(VARIABLE):
        observe(settings, "task")


def shows_events() -> bool:
    """True where standard error takes the events of this process (MER_LOG_FORMAT=json), and no text for people."""
    return _shows_events


class _AsBefore(logging.Handler):
    """Where nobody set logging up, Python writes warnings to standard error as long as there is no handler: it still does."""

    def emit(self, item: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        if not logging.getLogger().handlers and logging.lastResort is not None and not _shows_events:
            logging.lastResort.handle(item)


def _to_standard_error(line: str) -> None:
    sys.stderr.write(line)
    sys.stderr.flush()
