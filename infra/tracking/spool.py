"""What is to be tracked, as files: written first, sent in order, removed when sent.

An event is on disk before anything is sent, so neither a dead tracking server nor a killed process loses it;
sending one twice has no effect (see `infra.tracking.mlflow_sink`), so it need not be known how far a killed
sender came. The order is that of a number which grows with each event, given under a lock: a clock may be set back.

What MLflow refuses lies in `refused/` as it was, beside a text that says why, until it is sent again (`mer up`).
"""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.errors import WriteFailed
from infra.locking import locked, locked_now
from infra.whole_files import write_whole

logger = logging.getLogger(__name__)

LOCK_SECONDS = 30.0
"""Longest wait for another process that is sending."""
_NUMBERED = re.compile(r"event-(\d+)-[0-9a-f]+\.json")
"""Name of an event; earlier versions began it with the time in nanoseconds."""
_REASON = ".reason.txt"
_UNKNOWN = "the reason was not recorded"


_NO_EVENT = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What a file that holds something else makes of its reader."""


class EventRefused(Exception):
    """The tracking server will never take this event (it is set aside, the others go on)."""


class TrackingDown(Exception):
    """The tracking server does not answer (the event stays in the spool)."""


@dataclass(frozen=True)
class Waiting:
    """Events that have not been sent."""

    count: int
    oldest_seconds: float
    """Age of the oldest, by the clock (0 where it was set back since)."""
    reason: str
    """Why the last attempt to send them failed; empty: there was none."""


@dataclass(frozen=True)
class Refused:
    """An event that MLflow does not take."""

    name: str
    """Its file in the folder `refused`."""
    reason: str


class Spool:
    """A folder of events, oldest first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, event: Mapping[str, Any]) -> None:
        """Put an event (JSON) at the end, behind those of all processes.

        Raises:
            StoreFull, WriteFailed: it cannot be written.
        """
        text = json.dumps(event)
        self._folder.mkdir(parents=True, exist_ok=True)
        with locked(self._folder / "order.lock"):
            numbers = [_number(path) for folder in (self._folder, self._refused) for path in _files(folder)]
            path = self._folder / f"event-{max(numbers, default=0) + 1:012d}-{uuid.uuid4().hex}.json"
            write_whole(path, text.encode())

    def waiting(self) -> int:
        """Number of events that have not been sent."""
        return len(self._events())

    def backlog(self) -> Waiting | None:
        """What waits; None: nothing."""
        times = []
        for path in self._events():
            with suppress(FileNotFoundError):  # it was sent meanwhile
                times.append(path.stat().st_mtime)
        if not times:
            return None
        return Waiting(len(times), max(0.0, time.time() - min(times)), _read(self._why_waiting) or "")

    def refused(self) -> list[Refused]:
        """What MLflow refused, in the order of the events."""
        return [
            Refused(path.name, _read(path.with_name(f"{path.name}{_REASON}")) or _UNKNOWN)
            for path in sorted(_files(self._refused), key=_order)
        ]

    def retry_refused(self) -> int:
        """Let refused events wait again, where they were in the order; returns how many."""
        paths = _files(self._refused)
        for path in paths:
            with suppress(FileNotFoundError):  # another process does the same
                path.replace(self._folder / path.name)
            path.with_name(f"{path.name}{_REASON}").unlink(missing_ok=True)
        return len(paths)

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
                    _say(self._why_waiting, str(error))
                    break
                except (EventRefused, *_NO_EVENT) as error:
                    reason = f"{error}" if isinstance(error, EventRefused) else f"damaged: {error!r}"
                    who = "MLflow refused" if isinstance(error, EventRefused) else "no event is in"
                    logger.error("%s %s, set aside in %s: %s", who, path.name, self._refused, reason)
                    self._set_aside(path, reason)
                else:
                    path.unlink()
                    sent += 1
            else:
                if ours:
                    self._why_waiting.unlink(missing_ok=True)
        return sent

    def _set_aside(self, path: Path, reason: str) -> None:
        self._refused.mkdir(exist_ok=True)
        _say(self._refused / f"{path.name}{_REASON}", reason)
        path.replace(self._refused / path.name)

    @property
    def _refused(self) -> Path:
        return self._folder / "refused"

    @property
    def _why_waiting(self) -> Path:
        return self._folder / f"waiting{_REASON}"

    def _events(self) -> list[Path]:
        return sorted(_files(self._folder), key=_order)

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


def _files(folder: Path) -> list[Path]:
    return list(folder.glob("*.json"))


def _number(path: Path) -> int:
    """Number of an event in the order; 0: one that an earlier version named by the time."""
    match = _NUMBERED.fullmatch(path.name)
    return int(match[1]) if match else 0


def _order(path: Path) -> tuple[int, str]:
    return _number(path), path.name


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return None


def _say(path: Path, reason: str) -> None:
    with suppress(WriteFailed):  # a full disk keeps no event from being sent
        write_whole(path, reason.encode())
