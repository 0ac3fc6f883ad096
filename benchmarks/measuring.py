"""Seconds, processor seconds and memory, measured side by side in one run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median


@dataclass(frozen=True)
class Cost:
    """What a piece of work cost: medians over its repetitions."""

    wall: float
    """Seconds."""
    cpu: float
    """Processor seconds, all threads."""


def compare(work: Mapping[str, Callable[[], object]], repetitions: int) -> dict[str, Cost]:
    """Run each piece once to warm up, then all in turn, `repetitions` times: what disturbs one disturbs its neighbours."""
    for piece in work.values():
        piece()
    walls: dict[str, list[float]] = {name: [] for name in work}
    cpus: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(repetitions):
        for name, piece in work.items():
            wall, cpu = time.perf_counter(), time.process_time()
            piece()
            walls[name].append(time.perf_counter() - wall)
            cpus[name].append(time.process_time() - cpu)
    return {name: Cost(median(walls[name]), median(cpus[name])) for name in work}


def peak_memory_bytes() -> int:
    """Largest resident memory of this process since its start (Linux; `ru_maxrss` would inherit the parent's)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM in /proc/self/status: peak memory can be measured on Linux only")
