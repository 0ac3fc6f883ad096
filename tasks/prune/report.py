"""What a clean-up removed, or would remove."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Removed:
    """Things of one kind."""

    kind: str
    count: int = 0
    bytes: int | None = None
    """None: rows, whose size is their database's."""

    def add(self, size: int | None = None) -> None:
        """One more."""
        self.count += 1
        if size is not None:
            self.bytes = (self.bytes or 0) + size


class OutOfTime(Exception):
    """The time given to a clean-up is over; the next one goes on."""


@dataclass
class Cleanup:
    """How a clean-up is done, and what came of it."""

    dry_run: bool
    """Only count."""
    deadline: float | None = None
    """`time.monotonic()` at which it stops; None: when it is done."""
    removed: list[Removed] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was left alone, and why; one line each."""
    finished: bool = True

    def kind(self, name: str, count: int = 0, size: int | None = None) -> Removed:
        """Begin a kind of things."""
        self.removed.append(Removed(name, count, size))
        return self.removed[-1]

    def check_time(self) -> None:
        """Raise OutOfTime where the time is over."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise OutOfTime

    def do(self, action: Callable[[], object]) -> None:
        """Do what removes something, unless only counting."""
        if not self.dry_run:
            action()

    @property
    def total(self) -> int:
        """Number of things."""
        return sum(item.count for item in self.removed)

    @property
    def total_bytes(self) -> int:
        """Bytes of things that are not rows."""
        return sum(item.bytes or 0 for item in self.removed)
