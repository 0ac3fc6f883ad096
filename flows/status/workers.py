"""Task workers, and what waits for them (`MER_TASK_RUNNER=workers`)."""

from __future__ import annotations

from collections.abc import Iterator

from rich.markup import escape

from flows.workers.liveness import SILENT_SECONDS
from infra.catalogue import ProcessRole
from infra.catalogue.utc_time import utc_now
from tasks.stage.workspace import Workspace


def workers(space: Workspace) -> Iterator[str]:
    """A line for each worker and what it runs, one for what waits; nothing where nobody uses workers."""
    processes, queued = space.catalogue.task_processes(), space.catalogue.queued_tasks()
    crew = [row for row in processes if row.role is ProcessRole.WORKER]
    running = {task.worker: task.name.rpartition(".")[2].replace("_", " ") for task in queued}
    for row in crew:
        silent = (utc_now() - row.seen_at).total_seconds()
        state = f"runs {running[row.id]}" if row.id in running else "waits for a task"
        if silent > SILENT_SECONDS:
            state = f"not heard of for {silent:.0f} s: dead, or its machine is (what it ran goes to another worker)"
        yield f"task worker {escape(row.label)}: {escape(state)}"
    waiting = sum(task.worker is None for task in queued)
    if waiting:
        tasks = "1 task waits" if waiting == 1 else f"{waiting} tasks wait"
        start = "" if crew else "; none is there: start some with `mer worker`"
        yield f"{tasks} for a worker{start}"
