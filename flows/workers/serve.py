"""A task worker: takes one task after another from the queue and runs it; `mer worker` is one."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pkgutil import walk_packages
from typing import Any

from prefect import Task

from flows.workers.gpus import device_name
from flows.workers.heartbeat import FIRST_BEATS
from flows.workers.liveness import BEAT_SECONDS, Liveness
from flows.workers.messages import (
    Function,
    error_to_text,
    function_name,
    parameters_from_text,
    value_to_text,
)
from flows.workers.pool_choice import PoolChoice
from flows.workers.pools import GPU, pools_of, pools_text
from flows.workers.watch import process_label
from infra.catalogue import Catalogue, ProcessRole, TakenTask, WorkDone
from infra.errors import CatalogueUnavailable, NotAReference
from infra.observing import INFO, WARNING, count, flush_totals, logged, record
from infra.observing.context import context_of
from tasks.stage.computed_time import computed_seconds, count_device_seconds
from tasks.stage.workspace import workspace

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
"""Time between two looks for a task."""
DONE = "done"
TRIES = 5
"""How often an outcome is written to a catalogue that does not answer, before the worker ends with an error."""


def all_tasks() -> list[Task[..., Any]]:
    """Every task of the pipeline."""
    import tasks

    modules = [import_module(module.name) for module in walk_packages(tasks.__path__, "tasks.")]
    named = {
        f"{module.__name__}.{name}": value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, Task) and value.fn.__module__ == module.__name__
    }
    return [named[name] for name in sorted(named)]


def serve(say: Callable[[str], None], pool: PoolChoice = PoolChoice.ALL) -> None:
    """Run tasks of flows until the process is ended; `say` gets a line for each.

    Raises:
        CatalogueUnavailable: what came of a task could not be written.
    """
    functions = {function_name(task.fn): task.fn for task in all_tasks()}
    catalogue = workspace().catalogue
    device = "cpu" if pool is PoolChoice.CPU else device_name()
    me = WorkerRow(str(uuid.uuid4()), process_label(), pools_of(pool), device)
    catalogue.beat(me.id, ProcessRole.WORKER, me.label, 0, me.pools, me.device)
    with Heart(me), logged(worker=me.label):
        if pool is PoolChoice.GPU and device == "cpu":
            say(f"no GPU was found on this machine: tasks of pool {GPU} run on device cpu here")
        said = (
            f"worker {me.label} of pool {pools_text(me.pools)} (device {device}) waits for tasks; Ctrl-C ends it, and its task "
            "runs on another one"
        )
        say(said)
        record(INFO, __name__, said)
        queue = TaskTaker(catalogue, me)
        while True:
            task = queue.next_task()
            name = task.name.rpartition(".")[2].replace("_", " ")
            with logged(task=name, pool=task.pool, **context_of(task.context)):
                started, before = time.monotonic(), computed_seconds()
                outcome, ended = run_taken(functions, task)
                done = WorkDone(me.label, device, computed_seconds() - before)
                in_time = _written(catalogue, task, outcome, done)
                late = "" if in_time else " (too late: another worker has it, or its flow is gone)"
                say(line := f"{name}: {ended} in {time.monotonic() - started:.1f} s{late}")
                record(INFO if ended == DONE else WARNING, __name__, line)
            count_device_seconds(task.pool, device, done.seconds)
            count("mer_tasks_total", pool=task.pool, task=name, outcome="done" if ended == DONE else "failed")
            flush_totals()  # a worker may be ended at any time


@dataclass(frozen=True)
class WorkerRow:
    """What the catalogue holds of this worker."""

    id: str
    label: str
    pools: tuple[str, ...]
    device: str


def run_taken(functions: Mapping[str, Function], task: TakenTask) -> tuple[str, str]:
    """Run a task; returns its outcome (JSON), and how it ended for people."""
    try:
        if (function := functions.get(task.name)) is None:
            raise NotAReference(
                f"expected a task that this worker knows, found {task.name[:200]!r}: flow and workers must be of one version"
            )
        return value_to_text(function, function(**parameters_from_text(function, task.parameters))), DONE
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return error_to_text(error), f"failed ({type(error).__name__})"


class TaskTaker:
    """Looks for tasks of flows that are alive."""

    def __init__(self, catalogue: Catalogue, me: WorkerRow) -> None:
        self._catalogue = catalogue
        self._me = me
        self._liveness = Liveness()
        self._looked_at = float("-inf")

    def next_task(self) -> TakenTask:
        """Wait for a task; a catalogue that does not answer is waited for as well."""
        silent = False
        while True:
            try:
                if (task := self._look()) is not None:
                    return task
                silent = False
            except CatalogueUnavailable as error:
                if not silent:
                    logger.warning("%s; this worker tries again", error)
                silent = True
            time.sleep(LOOK_SECONDS)

    def _look(self) -> TakenTask | None:
        now = time.monotonic()
        if now - self._looked_at >= BEAT_SECONDS / 2:
            self._looked_at = now
            self._liveness.look(self._catalogue.task_processes())
            for dead in self._liveness.dead():
                self._catalogue.end_process(dead.id, dead.beat)
        flows = [row.id for row in self._liveness.alive() if row.role is ProcessRole.FLOW]
        return self._catalogue.take_task(self._me.id, flows, self._me.pools) if flows else None


class Heart:
    """Keeps the worker's heartbeat process going (see `flows.workers.heartbeat`)."""

    def __init__(self, me: WorkerRow) -> None:
        self._me = me
        self._done = threading.Event()
        self._begins = 0
        self._beating = self._start()
        self._keeper = threading.Thread(target=self._keep, name="heartbeat", daemon=True)

    def __enter__(self) -> Heart:
        self._keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        """The heartbeat sees its pipe closed, and notes that this worker ended."""
        self._done.set()
        if self._beating.stdin is not None:
            self._beating.stdin.close()
        self._beating.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        me = self._me
        facts = [me.id, me.label, str(self._begins), ",".join(me.pools), me.device]
        # in a session of its own: whoever kills this worker's group leaves it, and it notes that the worker is gone
        return subprocess.Popen(
            [sys.executable, "-m", "flows.workers.heartbeat", *facts],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def _keep(self) -> None:
        while not self._done.is_set():
            self._beating.wait()
            if not self._done.wait(BEAT_SECONDS):
                self._begins += FIRST_BEATS
                self._beating = self._start()


def _written(catalogue: Catalogue, task: TakenTask, outcome: str, done: WorkDone) -> bool:
    for _ in range(TRIES - 1):
        try:
            return catalogue.finish_task(task, outcome, done)
        except CatalogueUnavailable as error:
            logger.warning("%s; the outcome of %s is written again", error, task.name)
            time.sleep(1.0)
    return catalogue.finish_task(task, outcome, done)
