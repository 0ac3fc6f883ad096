"""When new clips start a run."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.data.arrivals import Arrivals


@dataclass(frozen=True)
class Rule:
    """After a number of new clips, or after a quiet time."""

    count: int
    quiet_seconds: float

    @property
    def words(self) -> str:
        """For people."""
        one = "1 new clip" if self.count == 1 else f"{self.count} new clips"
        return f"after {one}, or {self.quiet_seconds:g} s after the last one"


class Patience:
    """Looks one after the other: is it time?"""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._last: tuple[frozenset[str], int] = (frozenset(), 0)
        self._changed = 0.0
        self._enough_since: float | None = None

    def is_due(self, arrivals: Arrivals, now: float) -> bool:
        """Whether a run is to be started for what is new; files that are being written are waited for, a quiet time at most."""
        if (arrivals.new, arrivals.unfinished) != self._last:
            self._last, self._changed = (arrivals.new, arrivals.unfinished), now
        if not arrivals.new:
            self._enough_since = None
            return False
        quiet = now - self._changed >= self._rule.quiet_seconds
        if len(arrivals.new) < self._rule.count:
            self._enough_since = None
            return quiet
        self._enough_since = now if self._enough_since is None else self._enough_since
        waited = now - self._enough_since >= self._rule.quiet_seconds
        return not arrivals.unfinished or quiet or waited
