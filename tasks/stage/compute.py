"""One computation at a time in a process, with a stated number of threads.

Tasks of a flow run in threads, but training draws from torch's process-wide generators and its kernels use all threads they are
given: two fits side by side would neither repeat themselves nor be faster. More computations at once are more worker processes.
The default is one thread: results are then the same on every machine of one kind of processor, and on busy cores two threads that
wait for each other were 3 to 11 times slower than one (measured; docs/experiments.md).
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from infra.settings import Settings
from tasks.stage.computed_time import counted
from tasks.stage.looking import only_looked_for


class Turns:
    """Turns of threads: in the order in which they ask, but who follows on something goes before all who begin.

    Fits and predictions of many tasks would otherwise go in two rows, and no task would end before the last fit.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[tuple[bool, int]] = []
        self._asked, self._taken = 0, False

    @contextmanager
    def turn(self, *, follows: bool) -> Iterator[None]:
        """Wait for a turn and keep it; `follows`: goes first."""
        with self._changed:
            own = (not follows, self._asked)
            self._asked += 1
            heapq.heappush(self._waiting, own)
            try:
                self._changed.wait_for(lambda: not self._taken and self._waiting[0] == own)
            finally:  # also of a thread that is interrupted as it waits
                self._waiting.remove(own)
                heapq.heapify(self._waiting)
                self._changed.notify_all()
            self._taken = True
        try:
            yield
        finally:
            with self._changed:
                self._taken = False
                self._changed.notify_all()


_turns = Turns()
_following: ContextVar[bool] = ContextVar("_following", default=False)


@contextmanager
def following() -> Iterator[None]:
    """What computes in here ends what its task has begun, and goes before what other tasks begin."""
    before = _following.set(True)
    try:
        yield
    finally:
        _following.reset(before)


@contextmanager
def computing(settings: Settings) -> Iterator[float]:
    """Wait for this process' turn to compute; torch gets `compute_threads` threads (default: 1).

    Gives the seconds that were waited, which are no cost of what is computed.

    Raises:
        NotMade: this process only looks for what there is.
    """
    only_looked_for("computation")
    import torch

    requested_at = time.monotonic()
    with _turns.turn(follows=_following.get()):
        waited = time.monotonic() - requested_at
        torch.set_num_threads(settings.compute_threads or 1)
        with counted():
            yield waited
