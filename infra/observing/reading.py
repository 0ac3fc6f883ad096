"""Reading events back: the files of all machines of a home as one stream, in the order of time."""

from __future__ import annotations

import heapq
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.observing.event_file import event_files
from infra.observing.events import LEVELS
from infra.settings import Settings

Event = Mapping[str, Any]
FOLLOW_SECONDS = 0.5
"""Time between two looks for what is new."""


@dataclass(frozen=True)
class EventQuery:
    """Which events are asked for; empty texts ask for all."""

    run: str = ""
    """Of a run: the beginning of its id at Prefect, a part of its name there or in MLflow."""
    stage: str = ""
    """A stage's kind, or a part of what it is for (`fold2`)."""
    clip: str = ""
    """A clip's name: events of it, and those that mention it."""
    worker: str = ""
    """A part of HOST:PROCESS of a task worker."""
    process: str = ""
    """What the process is: `run`, `worker`, `supervisor`, ..."""
    level: str = ""
    """Of this level or a graver one."""
    since: datetime | None = None

    def fits(self, event: Event) -> bool:
        """Whether an event is asked for."""
        if self.level and _gravity(event) < LEVELS.index(self.level):
            return False
        if self.since is not None and _moment(event) < self.since:
            return False
        return (
            (not self.run or self._of_run(event))
            and (not self.stage or _is_stage(event, self.stage))
            and (not self.clip or event.get("clip") == self.clip or self.clip in str(event.get("message")))
            and self.worker in str(event.get("worker", ""))
            and self.process in ("", event.get("process"))
        )

    def _of_run(self, event: Event) -> bool:
        names = (str(event.get(name, "")) for name in ("flow_run_name", "tracked_run"))
        return str(event.get("flow_run", "")).startswith(self.run) or any(self.run in name for name in names)


def read_events(settings: Settings, query: EventQuery, last: int | None = None) -> list[Event]:
    """Events that fit, oldest first; `last`: only so many of them. Lines that are no events are passed over."""
    merged = heapq.merge(*map(_events_of, _by_machine(settings)), key=_sort_key)
    return list(deque((event for event in merged if query.fits(event)), maxlen=last))


def follow_events(
    settings: Settings, query: EventQuery, wait: Callable[[float], object] = time.sleep
) -> Iterator[Event]:
    """Events that fit and come after this call, for ever."""
    files = Followed(settings)

    def new() -> Iterator[Event]:
        while True:
            yield from sorted(filter(query.fits, files.new()), key=_sort_key)
            wait(FOLLOW_SECONDS)

    return new()


class Followed:
    """The newest files, from where they end now on."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: dict[int, int] = {
            path.stat().st_ino: path.stat().st_size for path in event_files(settings)
        }
        """File (its number, whatever it is called now) -> bytes that were read."""

    def new(self) -> Iterator[Event]:
        """What was written since the last look."""
        for path in event_files(self._settings):
            try:
                with path.open("rb") as file:
                    status = os.fstat(file.fileno())
                    begin = self._known.get(status.st_ino, 0)
                    if status.st_size <= begin:
                        self._known[status.st_ino] = (
                            status.st_size
                        )  # of a file that is gone: the number is another's now
                        continue
                    file.seek(begin)
                    whole, end, _ = file.read(status.st_size - begin).rpartition(b"\n")
            except OSError:  # removed meanwhile
                continue
            self._known[status.st_ino] = begin + len(whole) + len(end)
            yield from _parsed(whole.split(b"\n"))


def _by_machine(settings: Settings) -> Iterable[list[Path]]:
    """Files of each machine, oldest first."""
    files: dict[str, list[tuple[int, Path]]] = {}
    for path in event_files(settings):
        machine, _, number = path.stem.partition(".")  # names of machines have no dot here
        files.setdefault(machine, []).append((int(number) if number.isdigit() else 0, path))
    return [[path for _, path in sorted(parts, reverse=True)] for parts in files.values()]


def _events_of(files: Iterable[Path]) -> Iterator[Event]:
    for path in files:
        try:
            with path.open("rb") as file:
                yield from _parsed(file)
        except OSError:  # renamed or removed meanwhile
            continue


def _parsed(lines: Iterable[bytes]) -> Iterator[Event]:
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:  # cut off by a full disk, or by a kill
            continue
        if isinstance(event, dict) and isinstance(event.get("time"), str):
            yield event


def _sort_key(event: Event) -> str:
    return str(event["time"])


def _gravity(event: Event) -> int:
    level = event.get("level")
    return LEVELS.index(level) if level in LEVELS else LEVELS.index("info")


def _moment(event: Event) -> datetime:
    try:
        moment = datetime.fromisoformat(str(event["time"]))
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _is_stage(event: Event, stage: str) -> bool:
    return event.get("stage") == stage or stage in str(event.get("label", ""))
