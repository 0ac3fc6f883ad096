"""Events: one JSON object a line, each with the time, what says it, and what is at work there.

Whoever asked for them in this process (`infra.observing.begin`) gets them; where nobody did they go nowhere.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from infra.hidden_secrets import hidden, traceback_of
from infra.observing.context import FIELDS, context

INFO, WARNING, ERROR = logging.INFO, logging.WARNING, logging.ERROR
LEVELS = ("debug", "info", "warning", "error", "critical")
LONGEST = 4000
"""Characters of a message or traceback: an event is a line that a person or a log collector reads."""

Sink = Callable[[str], None]
"""Takes one line with its end."""
_sinks: list[Sink] = []
_process = ""


def send_to(sinks: list[Sink], process: str) -> None:
    """Give the events of this process, which is called `process` in them, to these sinks and to no others."""
    global _process
    _sinks[:] = sinks
    _process = process


def is_observed() -> bool:
    """True where the events of this process go somewhere."""
    return bool(_sinks)


def record(level: int, logger: str, message: str, **more: Any) -> None:
    """Record an event.

    Args:
        level: as `logging` has it.
        logger: dotted name of what says it.
        message: for people; secrets are taken out of it.
        more: further facts (JSON), or fields of the context that differ from what is known here; None: left out.
    """
    if not _sinks:
        return
    line = _line(level, logger, message, more)
    for sink in tuple(_sinks):
        with suppress(Exception):  # a log that cannot be written ends nothing
            sink(line)


class EventHandler(logging.Handler):
    """Makes events of what loggers are told. A logger's `extra={"clip": NAME}` is a field of the event."""

    def emit(self, item: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        more = {name: value for name in FIELDS if isinstance(value := getattr(item, name, None), str)}
        if item.exc_info and item.exc_info[1] is not None:
            more["traceback"] = traceback_of(item.exc_info[1])[-LONGEST:]
        with suppress(Exception):  # arguments that do not fit: logging's other handlers say so
            record(item.levelno, item.name, item.getMessage(), **more)


def _line(level: int, logger: str, message: str, more: Mapping[str, Any]) -> str:
    known = {**context(), **{name: value for name, value in more.items() if value is not None}}
    event = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": logging.getLevelName(level).lower(),
        "logger": logger,
        "message": hidden(message)[:LONGEST],
        "process": _process,
        "host": socket.gethostname(),
        "pid": os.getpid(),
    }
    event |= {name: known[name] for name in FIELDS if name in known}
    event |= {name: value for name, value in known.items() if name not in event}
    return json.dumps(event, ensure_ascii=False, default=str) + "\n"
