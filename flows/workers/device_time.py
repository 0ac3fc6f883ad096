"""What the tasks of pool `mer-gpu` cost: seconds of computation, and of which of them a GPU was held."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flows.workers.pools import GPU
from infra.catalogue import WorkDone
from tasks.stage.computed_time import gpu_task_seconds
from tasks.stage.workspace import workspace


@dataclass(frozen=True)
class DeviceTime:
    """Cost of the tasks tagged `gpu`."""

    seconds: float = 0.0
    """Computation on whatever device there was."""
    gpu_seconds: float = 0.0
    """The part of it on GPUs."""

    def __sub__(self, earlier: DeviceTime) -> DeviceTime:
        """What came since."""
        return DeviceTime(self.seconds - earlier.seconds, self.gpu_seconds - earlier.gpu_seconds)

    def metrics(self) -> dict[str, float]:
        """Figures for the tracked run; none where nothing was computed."""
        if self.seconds <= 0:
            return {}
        return {"gpu_pool_seconds": round(self.seconds, 3), "gpu_hours": round(self.gpu_seconds / 3600, 6)}

    def line(self) -> str | None:
        """For the end of a run; None where nothing was computed."""
        if self.seconds < 0.05:
            return None
        on = f"{self.gpu_seconds / 3600:.3f} GPU hours" if self.gpu_seconds > 0 else "on device cpu"
        return f"tasks of pool {GPU} computed for {self.seconds:.1f} s ({on})"


_lock = threading.Lock()
_elsewhere = DeviceTime()


def count_task(done: WorkDone, pool: str) -> None:
    """Count a task that a worker of `pool` finished for this process."""
    global _elsewhere
    if pool == GPU:
        held = done.seconds if done.device.startswith("cuda") else 0.0
        with _lock:
            _elsewhere = DeviceTime(_elsewhere.seconds + done.seconds, _elsewhere.gpu_seconds + held)


def device_time() -> DeviceTime:
    """What tasks tagged `gpu` that were run by or for this process have cost since it began.

    Processes, Dask and Ray (`MER_TASK_RUNNER`) are not counted: their figures are the stages' own (`stage_seconds` in MLflow).
    """
    here = gpu_task_seconds()
    held = here if here > 0 and _has_gpu() else 0.0
    return DeviceTime(_elsewhere.seconds + here, _elsewhere.gpu_seconds + held)


@contextmanager
def device_time_tracked(parent_run: str) -> Iterator[None]:
    """Record what the block's tasks cost as figures of a tracked run, also where the block fails."""
    earlier = device_time()
    try:
        yield
    finally:
        if metrics := (device_time() - earlier).metrics():
            workspace().tracker.log_run(parent_run, metrics=metrics)


def _has_gpu() -> bool:
    import torch  # loaded already by whatever was computed

    return bool(torch.cuda.is_available())
