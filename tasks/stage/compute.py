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
from dataclasses import dataclass

from infra.settings import Settings

GPU_TAG = "gpu"
"""Tag of tasks that compute on a GPU where there is one."""

_turn, _counting = threading.Lock(), threading.Lock()


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
        began = time.monotonic()
        try:
            yield waited
        finally:
            _count(time.monotonic() - began)


@dataclass
class _Counted:
    """Seconds of computation of this process."""

    all: float = 0.0
    gpu: float = 0.0


_counted = _Counted()


def computed_seconds() -> float:
    """How long this process has computed since it began, without waiting for its turn."""
    return _counted.all


def gpu_task_seconds() -> float:
    """The part of it that tasks tagged `gpu` took which Prefect ran in this process."""
    return _counted.gpu


def _count(seconds: float) -> None:
    from prefect.context import TaskRunContext  # not where a library's user computes without Prefect

    context = TaskRunContext.get()
    with _counting:
        _counted.all += seconds
        if context is not None and GPU_TAG in context.task.tags:
            _counted.gpu += seconds
