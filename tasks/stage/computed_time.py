"""How long this process has computed, and how much of it for tasks tagged `gpu`."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

GPU_TAG = "gpu"
"""Tag of tasks that compute on a GPU where there is one."""


@dataclass
class _Counted:
    """Seconds of computation of this process."""

    all: float = 0.0
    gpu: float = 0.0


_counted = _Counted()
_lock = threading.Lock()


def computed_seconds() -> float:
    """How long this process has computed since it began, without waiting for its turn."""
    return _counted.all


def gpu_task_seconds() -> float:
    """The part of it that tasks tagged `gpu` took which Prefect ran in this process."""
    return _counted.gpu


@contextmanager
def counted() -> Iterator[None]:
    """Count the block as computation."""
    began = time.monotonic()
    try:
        yield
    finally:
        _count(time.monotonic() - began)


def _count(seconds: float) -> None:
    loaded = sys.modules.get("prefect.context")  # by whoever runs tasks; a prediction computes without it
    context = None if loaded is None else loaded.TaskRunContext.get()
    with _lock:
        _counted.all += seconds
        if context is not None and GPU_TAG in context.task.tags:
            _counted.gpu += seconds
