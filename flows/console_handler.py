"""What Prefect writes to the terminal of errors that the command line says itself, in every process of a run."""

from __future__ import annotations

import logging
import os
from typing import Any

from prefect.logging.handlers import PrefectConsoleHandler

from infra.observing import record, shows_events
from infra.observing.begin import OUR_LOGGERS

RUN_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")
SERVICE_LOGGERS = ("prefect.events", "prefect.concurrency", "EventsWorker", "APILogWorker")
"""What Prefect says of its own threads, of which none decides how a run ends: a server that is away is waited for."""
_CLASS = "PREFECT_LOGGING_HANDLERS_CONSOLE_CLASS"
"""Prefect reads its logging configuration from variables of such names, here in all processes that tasks run in."""


class ConsoleHandler(PrefectConsoleHandler):
    """Prefect's, without what the command line says of an error in one message: the traceback, and the states after it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.addFilter(said_by_the_command_line)
        self.addFilter(_is_text)


def said_by_the_command_line(record: logging.LogRecord) -> bool:
    """False for an error of a flow run or task run: it ends the command, which says it. Prefect's server gets it all the same."""
    if record.name.startswith(SERVICE_LOGGERS):
        return False
    return record.levelno < logging.ERROR or not record.name.startswith(RUN_LOGGERS)


def _is_text(item: logging.LogRecord) -> bool:
    """False where standard error takes events: what Prefect says becomes one, and our own loggers' records are events already."""
    if not shows_events():
        return True
    if item.name.partition(".")[0] not in OUR_LOGGERS:
        record(item.levelno, item.name, item.getMessage())
    return False


def use_console_handler() -> None:
    """Let Prefect write through `ConsoleHandler`; must run before `prefect` is imported."""
    os.environ[_CLASS] = f"{__name__}.{ConsoleHandler.__name__}"
