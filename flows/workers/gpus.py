"""Which GPUs this machine has, asked without loading torch: a worker must choose before anything opens one."""

from __future__ import annotations

import os
import subprocess

from flows.workers.pool_choice import PoolChoice

VISIBLE = "CUDA_VISIBLE_DEVICES"
_ASK = ("nvidia-smi", "--query-gpu=index", "--format=csv,noheader")
_ANSWER_SECONDS = 30.0


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them: those that it names, else all of the machine."""
    named = os.environ.get(VISIBLE)
    if named is not None:
        wanted = [name.strip() for name in named.split(",")]
        unusable = next((place for place, name in enumerate(wanted) if name in ("", "-1")), len(wanted))
        return tuple(wanted[:unusable])  # CUDA uses what stands before the first that it cannot use
    try:
        asked = subprocess.run(_ASK, capture_output=True, text=True, check=True, timeout=_ANSWER_SECONDS)
    except (OSError, subprocess.SubprocessError):  # no driver, or one that does not answer
        return ()
    return tuple(line.strip() for line in asked.stdout.splitlines() if line.strip().isdigit())


def own_devices(pool: PoolChoice, number: int, gpus: tuple[str, ...]) -> dict[str, str]:
    """What the environment of worker `number` of a pool says of GPUs: one is its own, and a worker of `cpu` sees none."""
    if pool is PoolChoice.CPU:
        return {VISIBLE: ""}
    if pool is PoolChoice.GPU and gpus:
        return {VISIBLE: gpus[number % len(gpus)]}
    return {}


def device_name() -> str:
    """What torch computes on in this process: `cpu`, or `cuda` with the GPU's number here and its name."""
    import torch

    if not torch.cuda.is_available():
        return "cpu"
    return f"cuda {os.environ.get(VISIBLE, '0')} ({torch.cuda.get_device_name(0)})"
