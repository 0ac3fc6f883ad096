"""How long this process has computed, and how much of it for tasks tagged `gpu`."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from infra.observing import count

GPU_TAG = "gpu"
"""Tag of tasks that compute on a GPU where there is one."""
CPU_POOL, GPU_POOL = "mer-cpu", "mer-gpu"
"""Names of the pools that run tasks without and with the tag (`flows.workers.pools`)."""


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
    on_gpu = context is not None and GPU_TAG in context.task.tags
    with _lock:
        _counted.all += seconds
        if on_gpu:
            _counted.gpu += seconds
    if context is not None:  # else a worker's, which knows its pool and counts them itself
        count_device_seconds(GPU_POOL if on_gpu else CPU_POOL, _device() if on_gpu else "cpu", seconds)


def count_device_seconds(pool: str, device: str, seconds: float) -> None:
    """Count computation for whoever watches: by pool, and by kind of device (`cuda`, `cpu`)."""
    count("mer_device_seconds_total", seconds, pool=pool, device=device.partition(":")[0].partition(" ")[0])


def _device() -> str:
    import torch  # loaded already by whatever was computed

    return "cuda" if torch.cuda.is_available() else "cpu"
