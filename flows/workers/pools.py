"""Pools of task workers: tasks tagged `gpu` are run by workers of `mer-gpu`, all others by workers of `mer-cpu`.

Prefect's work pool `mer-cpu`, which has the same name, is where whole flows of deployments begin: a flow hands its tasks to the
workers of both pools, so that no flow holds a GPU while it reads tables.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from flows.workers.pool_choice import PoolChoice
from tasks.stage.computed_time import CPU_POOL, GPU_POOL, GPU_TAG

CPU, GPU = CPU_POOL, GPU_POOL


def pools_of(choice: PoolChoice) -> tuple[str, ...]:
    """Names of the pools whose tasks a worker takes."""
    return {PoolChoice.ALL: (CPU, GPU), PoolChoice.GPU: (GPU,), PoolChoice.CPU: (CPU,)}[choice]


def pool_of(tags: Collection[str]) -> str:
    """The pool that runs a task with these tags."""
    return GPU if GPU_TAG in tags else CPU


def pools_text(pools: Sequence[str]) -> str:
    """Pools of a worker for people."""
    return " and ".join(pools)


def start_command(pool: str) -> str:
    """The command line that starts a worker of a pool."""
    return f"mer worker --pool {pool.removeprefix('mer-')}"
