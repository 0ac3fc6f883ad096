"""What Prefect writes to the terminal of errors that the command line says itself."""

from __future__ import annotations

import logging

from flows.inspection import is_ours

RUN_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")


def without_tracebacks_of_ours() -> None:
    """Keep off the terminal what Prefect says of runs whose error has a message that alone is enough; its UI still gets it.

    Must run after `prefect` is imported, which sets up the handlers.
    """
    for handler in logging.getLogger().handlers:
        if not any(isinstance(item, _SaidByUs) for item in handler.filters):
            handler.addFilter(_SaidByUs())


class _SaidByUs(logging.Filter):
    """Leaves out the records of a run from its error on, where that is one of ours."""

    def __init__(self) -> None:
        super().__init__()
        self._runs: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """False for such records: the traceback, and then the state that the run ends in."""
        if not record.name.startswith(RUN_LOGGERS):
            return True
        run = str(getattr(record, "task_run_id", None) or getattr(record, "flow_run_id", ""))
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and is_ours(error):
            self._runs.add(run)
            return False
        return not run or run not in self._runs
