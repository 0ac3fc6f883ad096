"""What is to be tracked, as files: written first, sent in order, removed when sent.

An event is on disk before anything is sent, so neither a dead tracking server nor a killed process loses it;
sending one twice has no effect (see `infra.tracking.mlflow_sink`), so it need not be known how far a killed
sender came.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.locking import locked_now
from infra.whole_files import write_whole

logger = logging.getLogger(__name__)

LOCK_SECONDS = 30.0
"""Longest wait for another process that is sending."""


_NO_EVENT = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What a file that holds something else makes of its reader."""


class EventRefused(Exception):
    """The tracking server will never take this event (it is set aside, the others go on)."""


class TrackingDown(Exception):
    """The tracking server does not answer (the event stays in the spool)."""


class Spool:
    """A folder of events, oldest first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, event: Mapping[str, Any]) -> None:
        """Put an event (JSON) at the end.

        Raises:
            StoreFull, WriteFailed: it cannot be written.
        """
        path = self._folder / f"{time.time_ns():020d}-{uuid.uuid4().hex}.json"
        write_whole(path, json.dumps(event).encode())

    def waiting(self) -> int:
        """Number of events that have not been sent."""
        return len(self._events())

    def drain(self, send: Callable[[Mapping[str, Any]], None]) -> int:
        """Send what waits, in order, until the server does not answer; returns how many were sent."""
        if not self._events():
            return 0
        sent = 0
        with self._exclusively() as ours:
            for path in self._events() if ours else []:
                try:
                    send(json.loads(path.read_text(encoding="utf-8")))
                except TrackingDown as error:
                    logger.warning(
                        "MLflow does not answer; %d events wait in %s: %s",
                        self.waiting(),
                        self._folder,
                        error,
                    )
                    break
                except (EventRefused, *_NO_EVENT) as error:
                    logger.error("MLflow refused %s, set aside in %s: %s", path.name, self._refused, error)
                    self._refused.mkdir(exist_ok=True)
                    path.replace(self._refused / path.name)
                else:
                    path.unlink()
                    sent += 1
        return sent

    @property
    def _refused(self) -> Path:
        return self._folder / "refused"

    def _events(self) -> list[Path]:
        return sorted(self._folder.glob("*.json"))

    @contextmanager
    def _exclusively(self) -> Iterator[bool]:
        """One sender at a time, else events could overtake each other. False: another one is at it."""
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            with locked_now(self._folder / "lock") as ours:
                if ours or time.monotonic() > deadline:
                    yield ours
                    return
            time.sleep(0.05)
