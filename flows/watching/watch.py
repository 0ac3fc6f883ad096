"""The watch itself: looks, makes a batch of what is new when it is time, has it executed once, and begins anew.

What was started lies in the catalogue (`infra.catalogue.watches`) before it is started, so a watch that is killed anywhere and
started again loses nothing and starts nothing twice; two that watch the same share its batches.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from flows.watching.rule import Patience, Rule
from flows.watching.starters import Starter
from infra.catalogue import Catalogue, WatchBatchRow
from infra.catalogue.watches import DONE, DUE, STARTED
from infra.errors import InfraError
from tasks.data.arrivals import Arrivals, Source

MOST_ATTEMPTS = 3
PAUSE_SECONDS = 60.0
"""Before a run that failed is started again; twice as long before each further attempt."""


def watch_key(source: str, what: str) -> str:
    """Key of a watch: the same source and the same that is started for it, whoever watches."""
    return hashlib.sha256(f"{source}\n{what}".encode()).hexdigest()


@dataclass
class Watch:
    """One source, and what is started for it."""

    key: str
    source: Source
    rule: Rule
    starter: Starter
    catalogue: Catalogue
    say: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    ended: int = 0
    """Runs that were done or failed for good since this watch began."""
    _patience: Patience = field(init=False)
    _follows: int | None = field(init=False, default=None)
    """Number of the batch whose end is waited for."""
    _said: str = field(init=False, default="")
    _not_before: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._patience = Patience(self.rule)

    def look(self) -> Arrivals | None:
        """One look, and what follows from it; None where the source, the catalogue or a server cannot be read at the moment."""
        try:
            batch = self.catalogue.open_batch(self.key)
            if self._follows is not None and (batch is None or batch.number != self._follows):
                self._ended(self._follows)  # its process noted it
            if batch is not None:
                self._follow(batch)
                return None
            arrivals = self._new()
            if self._patience.is_due(arrivals, self.clock()):
                batch = self.catalogue.add_batch(self.key, arrivals.new)
                if batch is not None:
                    self.say(
                        f"{batch.clips} new clip{'' if batch.clips == 1 else 's'}: run {batch.number} starts"
                    )
                    self._start(batch)
            else:
                self._tell(arrivals)
        except (InfraError, OSError) as error:
            if str(error) != self._said:  # once, not at every look for as long as it lasts
                self._said = str(error)
                self.say(f"cannot look, and goes on trying: {error}")
            return None
        return arrivals

    def _new(self) -> Arrivals:
        found = self.source.look(self.catalogue)
        new = found.new - self.catalogue.watched_contents(self.key)
        return Arrivals(new, found.unfinished, found.clips)

    def _follow(self, batch: WatchBatchRow) -> None:
        if batch.state == DUE:
            self._start(batch)
            return
        assert batch.state == STARTED
        state = self.starter.state(batch)
        self._follows = batch.number
        if (
            state == "runs" or self.catalogue.open_batch(self.key) is None
        ):  # or noted by its process meanwhile
            return
        if state == "done" or (state == "failed" and batch.attempts >= MOST_ATTEMPTS):
            self.catalogue.end_batch(self.key, batch.number, done=state == "done")
            self._ended(batch.number)
        else:
            self._again(batch, state)

    def _ended(self, number: int) -> None:
        self._follows, self._not_before = None, 0.0
        self.ended += 1
        (row,) = [row for row in self.catalogue.watch_batches(self.key) if row.number == number]
        if row.state == DONE:
            self.say(f"run {number} is done; watching on")
        else:
            self.say(
                f"run {number} failed {row.attempts} times, and is given up: the next new clips start another one"
            )

    def _again(self, batch: WatchBatchRow, state: str) -> None:
        now = self.clock()
        if not self._not_before:
            pause = PAUSE_SECONDS * 2 ** (batch.attempts - 1) if state == "failed" else 0.0
            self._not_before = now + pause
            how = f"in {pause:.0f} s" if pause else "now"
            self.say(
                f"run {batch.number} {'failed' if state == 'failed' else 'was interrupted'}: it is started again {how}"
            )
        if now >= self._not_before:
            self._start(batch)

    def _start(self, batch: WatchBatchRow) -> None:
        self._not_before, self._follows = 0.0, batch.number
        self.catalogue.start_batch(self.key, batch.number, self.starter.start(batch))

    def _tell(self, arrivals: Arrivals) -> None:
        new, unfinished = len(arrivals.new), arrivals.unfinished
        said = f"{new} new" + (f", {unfinished} being written" if unfinished else "")
        if said != self._said and (new or unfinished):
            self.say(f"{said} of {arrivals.clips} clips")
        self._said = said
