"""A flow's view of its tasks in the queue: one thread that beats for the flow, collects outcomes, and sees what workers do."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass

from flows.noteworthy import workers_absent
from flows.workers.liveness import BEAT_SECONDS, Liveness
from flows.workers.pools import CPU, GPU, start_command
from infra.catalogue import Catalogue, FinishedTask, ProcessRole, TaskState
from infra.errors import CatalogueUnavailable, NoWorker, WorkerLost
from infra.observing.context import context_text

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
"""Time between two looks at the tasks of this flow."""
SAID_AFTER_SECONDS = 20.0
"""Tasks that wait so long where no worker is alive: a line says so, once until one comes."""
MOST_LOSSES = 10
"""A task whose workers ended so often ends the run: it may be what ends them (its memory, a library that crashes)."""


@dataclass
class _Waiting:
    """A task of this flow in the queue."""

    name: str
    parameters: str
    pool: str
    outcome: Future[FinishedTask]
    context: str | None
    """The run that it belongs to, for the log."""
    losses: int = 0


@dataclass
class _Unserved:
    """A pool without a worker."""

    since: float
    said: bool = False


_HOW_MANY = {GPU: "which starts one for each GPU", CPU: "one for each core"}


class QueueWatch:
    """Adds tasks to the queue and gives their outcomes. Use as a context; safe among threads."""

    def __init__(self, catalogue: Catalogue, timeout_seconds: float, patience_seconds: float) -> None:
        """`timeout_seconds`: longest wait without any worker; `patience_seconds`: without the catalogue."""
        self.identity = str(uuid.uuid4())
        self._label = process_label()
        self._catalogue = catalogue
        self._timeout_seconds = timeout_seconds
        self._patience_seconds = patience_seconds
        self._waiting: dict[str, _Waiting] = {}
        self._lock = threading.Lock()
        self._liveness = Liveness()
        self._beats = 0
        self._beat_at = float("-inf")
        self._unserved: dict[str, _Unserved] = {}
        """Pools of which no worker is alive while tasks wait for one."""
        self._ended: BaseException | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="task queue", daemon=True)

    def __enter__(self) -> QueueWatch:
        self._beat()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._fail_all(RuntimeError("the flow ended before this task"))
        try:
            self._catalogue.end_process(self.identity)
        except (
            CatalogueUnavailable
        ) as error:  # workers see that this flow beats no more, and remove what is left
            logger.warning("tasks of this flow stay in the queue for now: %s", error)

    def run(self, name: str, parameters: str, pool: str) -> FinishedTask:
        """Let a worker of a pool run a task and wait for it; returns its outcome (JSON), and who gave it.

        Raises:
            NoWorker: none of the pool came within the stated time.
            WorkerLost: its workers ended before it did, again and again.
            CatalogueUnavailable: the queue does not answer any more.
        """
        task = str(uuid.uuid4())
        waiting = _Waiting(name, parameters, pool, Future(), context_text())
        with self._lock:
            if self._ended is not None:
                raise self._ended
            self._waiting[task] = waiting
        return waiting.outcome.result()

    def _watch(self) -> None:
        failing_since: float | None = None
        try:
            while not self._done.wait(LOOK_SECONDS):
                try:
                    self._look()
                    failing_since = None
                except CatalogueUnavailable:
                    now = time.monotonic()
                    failing_since = failing_since or now
                    if now - failing_since > self._patience_seconds:
                        raise
        except BaseException as error:  # whoever waits must not wait for ever
            self._fail_all(error)

    def _look(self) -> None:
        self._beat()
        with self._lock:
            mine = dict(self._waiting)
        if not mine:
            self._unserved.clear()
            return
        states = {state.id: state for state in self._catalogue.tasks_of(self.identity)}
        for task in mine.keys() - states.keys():  # new; or removed while this flow seemed dead
            item = mine[task]
            what = item.name, item.parameters, item.pool, task, item.losses, item.context
            self._catalogue.add_task(self.identity, *what)
        self._collect([task for task, state in states.items() if state.finished])
        running = [state for state in states.values() if state.id in mine and not state.finished]
        for state in running:
            self._see_losses(mine[state.id], state)
        self._see_workers(Counter(state.pool for state in running if state.worker is None))

    def _beat(self) -> None:
        now = time.monotonic()
        if now - self._beat_at < BEAT_SECONDS:
            return
        self._beats += 1
        self._catalogue.beat(self.identity, ProcessRole.FLOW, self._label, self._beats)
        self._beat_at = now
        self._liveness.look(self._catalogue.task_processes())
        for dead in self._liveness.dead():
            if self._catalogue.end_process(dead.id, dead.beat) and dead.role is ProcessRole.WORKER:
                logger.warning("the worker %s beats no more: what it ran waits for another one", dead.label)

    def _collect(self, finished: list[str]) -> None:
        if not finished:
            return
        outcomes = self._catalogue.collect_outcomes(finished)
        for task, outcome in outcomes.items():
            with self._lock:
                item = self._waiting.pop(task, None)
            if item is not None:
                item.outcome.set_result(outcome)

    def _see_losses(self, item: _Waiting, state: TaskState) -> None:
        """Let a task run again whose worker has no row any more; give up one that is lost again and again."""
        if (
            state.worker is not None
            and state.worker not in self._liveness.known
            and self._is_gone(state.worker)
        ):
            self._catalogue.return_lost(state.id, state.worker)
        if state.losses == item.losses:
            return
        item.losses = state.losses
        if state.losses < MOST_LOSSES:
            logger.warning(
                "the worker of %r ended before it did: it runs again on the next one", _short(state.name)
            )
            return
        error = WorkerLost(
            f"{state.losses} workers ended while they ran {_short(state.name)!r}: see what they printed (out of memory?), "
            "then run the same command again, which goes on where it stopped"
        )
        with self._lock:
            self._waiting.pop(state.id, None)
        item.outcome.set_exception(error)

    def _is_gone(self, worker: str) -> bool:
        """True if a worker is not there now: it may have begun since the last look."""
        return all(row.id != worker for row in self._catalogue.task_processes())

    def _see_workers(self, waiting: Mapping[str, int]) -> None:
        """Say once of each pool that no worker of it is alive, and end the run where none comes in time.

        `waiting`: how many tasks wait for a worker, by pool.
        """
        now = time.monotonic()
        served = {pool for row in self._liveness.alive() for pool in row.pools}
        missing = {pool: count for pool, count in waiting.items() if pool not in served}
        self._unserved = {pool: self._unserved.get(pool) or _Unserved(now) for pool in missing}
        for pool, state in self._unserved.items():
            count, alone = missing[pool], now - state.since
            tasks = "1 task" if count == 1 else f"{count} tasks"
            if alone > self._timeout_seconds:
                raise NoWorker(
                    f"{tasks} waited {alone:.0f} s for a worker of pool {pool}, and none came: start some with "
                    f"`{start_command(pool)}`, {_HOW_MANY[pool]}, and run the same command again; MER_WORKER_TIMEOUT_SECONDS is "
                    "the longest wait"
                )
            if alone > SAID_AFTER_SECONDS and not state.said:
                state.said = True
                threading.Thread(target=workers_absent, args=(pool, count), daemon=True).start()
                logger.warning(
                    "no worker of pool %s is running, and %s for one: start some with `%s`, %s, with the MER_ variables of this "
                    "run; it ends after %.0f s without one (MER_WORKER_TIMEOUT_SECONDS)",
                    pool,
                    f"{tasks} waits" if count == 1 else f"{tasks} wait",
                    start_command(pool),
                    _HOW_MANY[pool],
                    self._timeout_seconds,
                )

    def _fail_all(self, error: BaseException) -> None:
        with self._lock:
            self._ended = self._ended or error
            items = list(self._waiting.values())
            self._waiting.clear()
        for item in items:
            item.outcome.set_exception(error)


def process_label() -> str:
    """This process for people: host and number."""
    return f"{socket.gethostname()}:{os.getpid()}"


def _short(name: str) -> str:
    return name.rpartition(".")[2].replace("_", " ")
