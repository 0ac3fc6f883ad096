"""The queue of tasks for workers: a flow adds tasks, a worker takes one at a time, the flow collects its outcome.

A task that was taken stays the row of its flow. If the worker ends, the row waits again (`end_process`, `return_lost`); an
outcome counts only from the worker that holds the task now. What runs twice is harmless: stages commit once for a key.

Who is alive nobody can tell from a row: whoever wants to know watches the heartbeats for some time by a clock of its own (see
`flows.workers.liveness`), so that clocks of machines need not agree and may jump.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Select, delete, insert, select, update

from infra.catalogue.bulk import upsert
from infra.catalogue.database import Database
from infra.catalogue.queue_tables import QueuedTask, TaskProcess
from infra.catalogue.utc_time import utc_now


class ProcessRole(StrEnum):
    """What a process does with tasks."""

    FLOW = "flow"
    WORKER = "worker"


@dataclass(frozen=True)
class TaskProcessRow:
    """A process that beats, or did until it died."""

    id: str
    role: ProcessRole
    label: str
    """Host and process id."""
    beat: int
    seen_at: datetime
    """For people."""
    pools: tuple[str, ...] = ()
    """Pools whose tasks a worker takes; none for a flow."""
    device: str = ""
    """What a worker computes on, for people."""


@dataclass(frozen=True)
class TaskState:
    """Where a task is."""

    id: str
    name: str
    worker: str | None
    """Id of the worker that runs it; None: it waits."""
    losses: int
    """How often its worker ended before it did."""
    finished: bool
    pool: str


@dataclass(frozen=True)
class TakenTask:
    """A task as a worker takes it."""

    id: str
    name: str
    parameters: str
    """JSON."""
    worker: str
    taken: int
    pool: str
    context: str | None = None
    """JSON: what its flow knows of the run, for the log."""


@dataclass(frozen=True)
class WorkDone:
    """Who finished a task, and what that cost."""

    ran_on: str
    """Label of the worker."""
    device: str
    """What it computed on, e.g. `cpu`."""
    seconds: float
    """How long it computed."""


@dataclass(frozen=True)
class FinishedTask:
    """What came of a task."""

    outcome: str
    """JSON."""
    pool: str
    done: WorkDone


class TaskQueueCatalogue:
    """Tasks and the processes that hand them out and run them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def beat(
        self,
        process: str,
        role: ProcessRole,
        label: str,
        number: int,
        pools: Sequence[str] = (),
        device: str = "",
    ) -> None:
        """Note that the process is alive; `number` grows from beat to beat. A row that was removed is written again.

        `pools` and `device` are a worker's: whose tasks it takes, and what it computes on.
        """
        values = {"id": process, "role": str(role), "label": label[:200], "beat": number}
        values |= {"pools": ",".join(pools), "device": device[:100]}
        with self._database.writing() as connection:
            upsert(connection, TaskProcess, [{**values, "seen_at": utc_now()}])

    def task_processes(self) -> list[TaskProcessRow]:
        """All that beat, and those that died unseen."""
        with self._database.reading() as connection:
            rows = connection.execute(select(TaskProcess.__table__).order_by(TaskProcess.id)).all()
        return [
            TaskProcessRow(
                row.id,
                ProcessRole(row.role),
                row.label,
                row.beat,
                row.seen_at,
                tuple(filter(None, row.pools.split(","))),
                row.device,
            )
            for row in rows
        ]

    def end_process(self, process: str, beat: int | None = None) -> bool:
        """Remove a process: a worker's task waits again, a flow's tasks go.

        Args:
            process: its id.
            beat: only if this is its last beat still; None: in any case.

        Returns:
            False if it is not there, or has beaten since.
        """
        with self._database.writing() as connection:
            dead = delete(TaskProcess).where(TaskProcess.id == process)
            if beat is not None:
                dead = dead.where(TaskProcess.beat == beat)
            if not connection.execute(dead).rowcount:
                return False
            connection.execute(delete(QueuedTask).where(QueuedTask.flow == process))
            _let_wait(connection, process)
        return True

    def add_task(
        self,
        flow: str,
        name: str,
        parameters: str,
        pool: str,
        task: str | None = None,
        losses: int = 0,
        context: str | None = None,
    ) -> str:
        """Let a task of `flow` wait for a worker of `pool`; returns its id.

        Args:
            flow: id of the process that hands it out.
            name: by which workers know it.
            parameters: JSON.
            pool: whose workers may take it.
            task: id of a task that is added again; None: a new one.
            losses: how often it was lost already.
            context: JSON, of the run that it belongs to, for the log; None: it is of none.
        """
        task = task or str(uuid.uuid4())
        values = {"id": task, "flow": flow, "name": name, "pool": pool, "parameters": parameters}
        with self._database.writing() as connection:
            connection.execute(insert(QueuedTask).values(**values, taken=0, losses=losses, context=context))
        return task

    def take_task(self, worker: str, flows: Collection[str], pools: Collection[str]) -> TakenTask | None:
        """Take the task of these flows and pools that has waited longest; None if none waits."""
        waits = (
            select(QueuedTask.number)
            .where(QueuedTask.worker.is_(None), QueuedTask.outcome.is_(None))
            .where(QueuedTask.flow.in_(flows), QueuedTask.pool.in_(pools))
            .order_by(QueuedTask.number)
            .limit(1)
        )
        with self._database.reading() as connection:  # workers look often: without the lock of a writer
            if connection.scalar(waits) is None:
                return None
        with self._database.writing() as connection:
            number = connection.scalar(waits.with_for_update(skip_locked=True))
            if number is None:
                return None
            values = {"worker": worker, "taken": QueuedTask.taken + 1}
            connection.execute(update(QueuedTask).where(QueuedTask.number == number).values(values))
            row = connection.execute(select(QueuedTask.__table__).where(QueuedTask.number == number)).one()
        return TakenTask(row.id, row.name, row.parameters, worker, row.taken, row.pool, row.context)

    def finish_task(self, task: TakenTask, outcome: str, done: WorkDone) -> bool:
        """Write what came of a task (JSON), and who did it.

        Returns False if it is another worker's by now, or nobody's who waits for it.
        """
        ours = (
            QueuedTask.id == task.id,
            QueuedTask.worker == task.worker,
            QueuedTask.taken == task.taken,
            QueuedTask.outcome.is_(None),
        )
        values = {"outcome": outcome, "ran_on": done.ran_on[:200], "device": done.device[:100]}
        query = update(QueuedTask).where(*ours).values(**values, seconds=done.seconds)
        with self._database.writing() as connection:
            return bool(connection.execute(query).rowcount)

    def return_lost(self, task: str, worker: str) -> bool:
        """Let a task wait again whose worker is gone; False if it is another's by now, or finished."""
        with self._database.writing() as connection:
            return _let_wait(connection, worker, task)

    def tasks_of(self, flow: str) -> list[TaskState]:
        """Where a flow's tasks are, oldest first."""
        query = select(*_STATE).where(QueuedTask.flow == flow).order_by(QueuedTask.number)
        return self._states(query)

    def queued_tasks(self) -> list[TaskState]:
        """All tasks that wait or run, of every flow."""
        query = select(*_STATE).where(QueuedTask.outcome.is_(None)).order_by(QueuedTask.number)
        return self._states(query)

    def _states(self, query: Select[Any]) -> list[TaskState]:
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        return [
            TaskState(row.id, row.name, row.worker, row.losses, bool(row.finished), row.pool) for row in rows
        ]

    def collect_outcomes(self, tasks: Sequence[str]) -> dict[str, FinishedTask]:
        """Take what came of finished tasks out of the queue, by task."""
        finished = (QueuedTask.id.in_(tasks), QueuedTask.outcome.is_not(None))
        with self._database.writing() as connection:
            rows = connection.execute(select(QueuedTask.__table__).where(*finished)).all()
            connection.execute(delete(QueuedTask).where(*finished))
        return {
            row.id: FinishedTask(
                str(row.outcome), row.pool, WorkDone(row.ran_on or "", row.device or "", row.seconds or 0.0)
            )
            for row in rows
        }


_STATE = (
    QueuedTask.id,
    QueuedTask.name,
    QueuedTask.worker,
    QueuedTask.losses,
    QueuedTask.outcome.is_not(None).label("finished"),
    QueuedTask.pool,
)


def _let_wait(connection: Connection, worker: str, task: str | None = None) -> bool:
    unfinished = update(QueuedTask).where(QueuedTask.worker == worker, QueuedTask.outcome.is_(None))
    if task is not None:
        unfinished = unfinished.where(QueuedTask.id == task)
    lost = unfinished.values(worker=None, losses=QueuedTask.losses + 1)
    return bool(connection.execute(lost).rowcount)
