"""What the terminal shows of a run, as the run's log at the Prefect server: started by hand or by a worker alike.

Warnings of our loggers go there too. Lines are sent in batches in the background, so that a run does not wait for them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prefect.context import FlowRunContext
from prefect.logging.handlers import APILogHandler

from flows.explained_errors import explained
from flows.terminal import heard_by
from infra.hidden_secrets import hidden
from infra.observing import record
from infra.observing.begin import OUR_LOGGERS

PROGRESS_SECONDS = 3.0
"""Lines that say how far something is are sent no more often than that: thousands of shards make no thousands of lines."""
_NAME = "mer.run"


class RunLog:
    """Lines of one flow run, sent by a handler of Prefect's."""

    def __init__(
        self, handler: logging.Handler, flow_run: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._handler, self._flow_run, self._clock = handler, flow_run, clock
        self._open = threading.local()
        """What a thread printed without a line end yet."""
        self._last_progress = -PROGRESS_SECONDS

    def __call__(self, text: str, progress: bool) -> None:
        """Take what is printed; see `flows.terminal.Listener`."""
        if progress:
            now = self._clock()
            if now - self._last_progress < PROGRESS_SECONDS:
                return
            self._last_progress = now
        text = getattr(self._open, "text", "") + text
        whole, ended, self._open.text = text.rpartition("\n")
        if ended and whole.strip():
            lines = [line.rstrip() for line in whole.splitlines()]
            self.send(logging.INFO, "\n".join(lines).strip("\n"))

    def send(self, level: int, message: str) -> None:
        """Send one message; it is an event too (`infra.observing`)."""
        sent = logging.LogRecord(_NAME, level, __file__, 0, hidden(message), None, None)
        sent.flow_run_id = self._flow_run
        self._handler.emit(sent)
        record(level, _NAME, message)

    def belongs(self, item: logging.LogRecord) -> bool:
        """Filter for records of other loggers: they are this run's, whichever thread they come from."""
        item.flow_run_id = self._flow_run
        return True


@contextmanager
def logged_run() -> Iterator[None]:
    """Send what the block prints, what our loggers warn of, and the message of an error that ends it, to the server.

    Outside of a flow run (a flow that is called as a plain function) nothing is sent.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        yield
        return
    handler = APILogHandler()
    log = RunLog(handler, str(context.flow_run.id))
    warnings = APILogHandler(logging.WARNING)
    warnings.addFilter(log.belongs)
    loggers = [logging.getLogger(name) for name in OUR_LOGGERS]
    for logger in loggers:
        logger.addHandler(warnings)
    try:
        with heard_by(log):
            yield
    except Exception as error:
        if (said := explained(error)) is not None:
            log.send(logging.ERROR, said)
        raise
    finally:
        for logger in loggers:
            logger.removeHandler(warnings)
        handler.flush()  # before the process may end; it waits five seconds at most
