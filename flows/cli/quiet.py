"""What Prefect writes to the terminal of errors that the command line says itself."""

from __future__ import annotations

import logging

from flows.inspection import is_ours

RUN_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")


def without_tracebacks_of_ours() -> None:
    """Keep the tracebacks of errors whose message alone is enough off the terminal; the Prefect UI still gets them.

    Must run after `prefect` is imported, which sets up the handlers.
    """
    for handler in logging.getLogger().handlers:
        if _said_by_us not in handler.filters:
            handler.addFilter(_said_by_us)


def _said_by_us(record: logging.LogRecord) -> bool:
    """False for the record of a run that ended with such an error."""
    error = record.exc_info[1] if record.exc_info else None
    return error is None or not is_ours(error) or not record.name.startswith(RUN_LOGGERS)
