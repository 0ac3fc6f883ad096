"""Who is alive, judged by heartbeats that were seen to move: by this process' own clock, which nobody sets back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from infra.catalogue import TaskProcessRow

BEAT_SECONDS = 1.0
"""Time between two heartbeats."""
SILENT_SECONDS = 30.0
"""Without a beat for so long, and watched all the time, a process is dead."""
WATCHED_SECONDS = 5.0
"""Longer pauses between two looks (a machine that slept, a locked catalogue) are no silence of the others."""


@dataclass
class _Seen:
    row: TaskProcessRow
    moved: bool
    """True if its heartbeat was seen to move since it was seen first."""
    quiet_seconds: float = 0.0


class Liveness:
    """What one watcher knows of the processes; shown their rows at every look."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        self._looked_at: float | None = None

    def look(self, rows: Iterable[TaskProcessRow]) -> None:
        """Compare the heartbeats with those of the last look."""
        now = self._clock()
        passed = min(now - self._looked_at, WATCHED_SECONDS) if self._looked_at is not None else 0.0
        self._looked_at = now
        before, self._seen = self._seen, {}
        for row in rows:
            last = before.get(row.id)
            if last is None:
                self._seen[row.id] = _Seen(row, moved=False)
            elif last.row.beat != row.beat:
                self._seen[row.id] = _Seen(row, moved=True)
            else:
                self._seen[row.id] = _Seen(row, last.moved, last.quiet_seconds + passed)

    @property
    def known(self) -> Mapping[str, TaskProcessRow]:
        """All that have a row, alive or not, by id."""
        return {name: seen.row for name, seen in self._seen.items()}

    def alive(self) -> list[TaskProcessRow]:
        """Those whose heartbeat was seen to move lately."""
        return [
            seen.row for seen in self._seen.values() if seen.moved and seen.quiet_seconds < SILENT_SECONDS
        ]

    def dead(self) -> list[TaskProcessRow]:
        """Those whose heartbeat did not move for `SILENT_SECONDS`."""
        return [seen.row for seen in self._seen.values() if seen.quiet_seconds >= SILENT_SECONDS]
