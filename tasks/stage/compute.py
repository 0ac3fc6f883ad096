"""One computation at a time in a process, with a stated number of threads.

Tasks of a flow run in threads, but training draws from torch's process-wide generators and its kernels use all threads they are
given: two fits side by side would neither repeat themselves nor be faster. More computations at once are more worker processes.
The default is one thread: results are then the same on every machine of one kind of processor, and on busy cores two threads that
wait for each other were 3 to 11 times slower than one (measured; docs/experiments.md).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from infra.settings import Settings

_turn = threading.Lock()


@contextmanager
def computing(settings: Settings) -> Iterator[float]:
    """Wait for this process' turn to compute; torch gets `compute_threads` threads (default: 1).

    Gives the seconds that were waited, which are no cost of what is computed.
    """
    import torch

    requested_at = time.monotonic()
    with _turn:
        waited = time.monotonic() - requested_at
        torch.set_num_threads(settings.compute_threads or 1)
        yield waited
