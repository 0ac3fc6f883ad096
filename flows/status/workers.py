"""Task workers, and what waits for them (`MER_TASK_RUNNER=workers`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich.markup import escape

from flows.workers.liveness import SILENT_SECONDS
from flows.workers.pools import pools_text, start_command
from infra.catalogue import ProcessRole
from infra.catalogue.utc_time import utc_now
from tasks.stage.workspace import Workspace


def workers(space: Workspace) -> Iterator[str]:
    """A line for each worker and what it runs, one for what waits in each pool; nothing where nobody uses workers."""
    processes, queued = space.catalogue.task_processes(), space.catalogue.queued_tasks()
    crew = [row for row in processes if row.role is ProcessRole.WORKER]
    running = {task.worker: task.name.rpartition(".")[2].replace("_", " ") for task in queued}
    served: set[str] = set()
    for row in sorted(crew, key=lambda row: (row.pools, row.label)):
        silent = (utc_now() - row.seen_at).total_seconds()
        state = f"runs {running[row.id]}" if row.id in running else "waits for a task"
        if silent > SILENT_SECONDS:
            state = f"not heard of for {silent:.0f} s: dead, or its machine is (what it ran goes to another worker)"
        else:
            served.update(row.pools)
        of = f" of {pools_text(row.pools)} (device {row.device})" if row.pools else ""
        yield f"task worker {escape(row.label)}{escape(of)}: {escape(state)}"
    waiting = Counter(task.pool for task in queued if task.worker is None)
    for pool, count in sorted(waiting.items()):
        tasks = "1 task waits" if count == 1 else f"{count} tasks wait"
        start = "" if pool in served else f"; none is there: start some with `{start_command(pool)}`"
        yield f"{tasks} for a worker of {pool}{start}"
