"""A flow's watch over its tasks: none is lost, none is waited for without end, and a person learns what is missing."""

from __future__ import annotations

import base64
import logging
import pickle  # noqa: TID251
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from flows.workers import liveness, watch
from flows.workers.messages import outcome_from_text
from flows.workers.pools import CPU, GPU
from flows.workers.watch import QueueWatch
from infra.catalogue import Catalogue, ProcessRole, TakenTask, WorkDone, open_catalogue
from infra.errors import CatalogueUnavailable, NotAReference, NoWorker, WorkerLost
from tasks.learn.fusion import fuse_view

NAME = "tasks.learn.fusion.fuse_view"
ALL = (CPU, GPU)
DONE = WorkDone("host:w", "cpu", 1.5)


SAID_AFTER_SECONDS = watch.SAID_AFTER_SECONDS


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    file = tmp_path_factory.mktemp("queue") / "catalogue.db"
    with open_catalogue(f"sqlite:///{file}", timeout_seconds=5) as catalogue:
        yield catalogue


@pytest.fixture
def catalogue(opened: Catalogue) -> Catalogue:
    """A catalogue with an empty queue."""
    with opened.database.writing() as connection:
        for table in ("task_processes", "queued_tasks"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
    return opened


@pytest.fixture(autouse=True)
def _in_less_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """One second here is a minute in life."""
    monkeypatch.setattr(liveness, "SILENT_SECONDS", 0.5)
    monkeypatch.setattr(watch, "SAID_AFTER_SECONDS", 0.3)
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(watch, "BEAT_SECONDS", 0.02)


@pytest.fixture
def queue(catalogue: Catalogue) -> Iterator[QueueWatch]:
    with QueueWatch(catalogue, timeout_seconds=30.0, patience_seconds=0.3) as opened:
        yield opened


def waiting_for(queue: QueueWatch, name: str = NAME, pool: str = CPU) -> Future[str]:
    """The outcome of a task that another thread waits for, as threads of the task runner do."""
    outcome: Future[str] = Future()

    def run() -> None:
        try:
            outcome.set_result(queue.run(name, '{"a":1}', pool).outcome)
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return outcome


def soon(seen: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.01)


class Worker:
    """Takes tasks as a worker does; beats as often as a test lets it."""

    def __init__(self, catalogue: Catalogue, name: str, pools: tuple[str, ...] = ALL) -> None:
        self.catalogue, self.name, self.pools, self.beats = catalogue, name, pools, 0
        self.beat()

    def beat(self) -> None:
        self.beats += 1
        self.catalogue.beat(self.name, ProcessRole.WORKER, f"host:{self.name}", self.beats, self.pools)

    def take(self, queue: QueueWatch) -> TakenTask:
        taken: list[TakenTask] = []

        def tried() -> bool:
            self.beat()  # it waits, perhaps until another one counts as dead
            task = self.catalogue.take_task(self.name, [queue.identity], ALL)
            taken.extend([task] if task is not None else [])
            return bool(taken)

        soon(tried)
        return taken[0]


def test_a_worker_runs_it(catalogue: Catalogue, queue: QueueWatch) -> None:
    outcome, worker = waiting_for(queue), Worker(catalogue, "w")
    task = worker.take(queue)
    assert (task.name, task.parameters) == (NAME, '{"a":1}')
    assert catalogue.finish_task(task, "done", DONE)
    assert outcome.result(5) == "done"
    assert catalogue.tasks_of(queue.identity) == []


@pytest.mark.parametrize("ends", ["says so", "falls silent", "is gone without a row"])
def test_a_dead_workers_task_runs_again(
    ends: str, catalogue: Catalogue, queue: QueueWatch, caplog: pytest.LogCaptureFixture
) -> None:
    outcome, first = waiting_for(queue), Worker(catalogue, "w1")
    late = first.take(queue)
    if ends == "says so":
        assert catalogue.end_process("w1")
    elif ends == "is gone without a row":
        with catalogue.database.writing() as connection:
            connection.exec_driver_sql("DELETE FROM task_processes WHERE id = 'w1'")
    second = Worker(catalogue, "w2")
    again = second.take(queue)
    assert again.id == late.id

    def told() -> bool:
        second.beat()
        return "'fuse view' ended before it did: it runs again" in caplog.text

    soon(told)
    assert not catalogue.finish_task(late, "late", DONE)
    second.beat()
    assert catalogue.finish_task(again, "right", DONE)
    assert outcome.result(5) == "right"


def test_a_worker_that_beats_keeps_its_task(catalogue: Catalogue, queue: QueueWatch) -> None:
    outcome, worker = waiting_for(queue), Worker(catalogue, "w")
    task = worker.take(queue)
    for _ in range(40):  # twice as long as silence lasts
        worker.beat()
        time.sleep(0.025)
        assert catalogue.take_task("w2", [queue.identity], ALL) is None
    assert catalogue.finish_task(task, "done", DONE)
    assert outcome.result(5) == "done"


def test_no_worker_is_said_once_and_ends_the_flow(
    catalogue: Catalogue, caplog: pytest.LogCaptureFixture
) -> None:
    with QueueWatch(catalogue, timeout_seconds=0.8, patience_seconds=1.0) as queue:
        started = time.monotonic()
        first, second = waiting_for(queue), waiting_for(queue)
        for outcome in (first, second):
            with pytest.raises(
                NoWorker, match=r"pool mer-cpu.*`mer worker --pool cpu`.*MER_WORKER_TIMEOUT_SECONDS"
            ):
                outcome.result(5)
        assert 0.8 <= time.monotonic() - started < 1.6, "I9: within twice the stated time"
        with pytest.raises(NoWorker):
            queue.run(NAME, "{}", CPU)
    said = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == 1
    assert "no worker of pool mer-cpu is running, and 2 tasks wait" in said[0].getMessage()
    assert "`mer worker --pool cpu`" in said[0].getMessage()


def test_a_worker_of_the_other_pool_is_none(catalogue: Catalogue, caplog: pytest.LogCaptureFixture) -> None:
    """A gpu task is no cpu worker's: it is said which pool lacks one, and the tasks of the other pool are run."""
    with QueueWatch(catalogue, timeout_seconds=1.0, patience_seconds=1.0) as queue:
        gpu, cpu = waiting_for(queue, pool=GPU), waiting_for(queue)
        worker = Worker(catalogue, "w", (CPU,))
        taken: list[TakenTask] = []

        def tried() -> bool:
            worker.beat()
            task = catalogue.take_task("w", [queue.identity], worker.pools)
            taken.extend([task] if task is not None else [])
            return "no worker of pool" in caplog.text

        soon(tried)
        assert [task.pool for task in taken] == [CPU]
        assert catalogue.finish_task(taken[0], "done", DONE)
        assert cpu.result(5) == "done"
        with pytest.raises(
            NoWorker, match=r"1 task waited .* pool mer-gpu.*`mer worker --pool gpu`, which starts one"
        ):
            gpu.result(5)
    said = [record.getMessage() for record in caplog.records if "no worker of pool" in record.getMessage()]
    assert len(said) == 1
    assert (
        "no worker of pool mer-gpu is running, and 1 task waits for one: start some with `mer worker --pool gpu`"
        in said[0]
    )


def test_the_line_comes_within_a_minute() -> None:
    assert SAID_AFTER_SECONDS + liveness.WATCHED_SECONDS < 60


def test_a_worker_that_comes_late_is_in_time(
    catalogue: Catalogue, queue: QueueWatch, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = waiting_for(queue)
    soon(lambda: "no worker of pool mer-cpu is running" in caplog.text)
    task = Worker(catalogue, "w").take(queue)
    assert catalogue.finish_task(task, "done", DONE)
    assert outcome.result(5) == "done"


def test_workers_that_died_unseen_are_no_workers(catalogue: Catalogue) -> None:
    Worker(catalogue, "dead")
    with QueueWatch(catalogue, 0.8, patience_seconds=1.0) as queue, pytest.raises(NoWorker):
        queue.run(NAME, "{}", CPU)
    assert catalogue.task_processes() == []


def test_busy_workers_are_waited_for(
    catalogue: Catalogue, queue: QueueWatch, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(catalogue, "w")
    busy, patient = waiting_for(queue), waiting_for(queue)
    first = worker.take(queue)
    for _ in range(40):
        worker.beat()
        time.sleep(0.025)
    assert not caplog.records
    assert catalogue.finish_task(first, "one", DONE)
    assert catalogue.finish_task(worker.take(queue), "two", DONE)
    assert sorted([busy.result(5), patient.result(5)]) == ["one", "two"]


def test_a_task_that_ends_all_its_workers_ends_the_flow(
    catalogue: Catalogue, queue: QueueWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "MOST_LOSSES", 3)
    outcome = waiting_for(queue)
    for number in range(3):
        Worker(catalogue, f"w{number}").take(queue)
        assert catalogue.end_process(f"w{number}")
    with pytest.raises(WorkerLost, match=r"3 workers ended while they ran 'fuse view'"):
        outcome.result(5)


def test_a_flow_that_seemed_dead_adds_its_tasks_again(catalogue: Catalogue, queue: QueueWatch) -> None:
    outcome, worker = waiting_for(queue), Worker(catalogue, "w")
    late = worker.take(queue)
    assert catalogue.end_process(queue.identity)  # by a worker that saw no beat of it
    again = worker.take(queue)
    assert again.id == late.id
    assert catalogue.finish_task(again, "done", DONE)
    assert outcome.result(5) == "done"


def test_a_catalogue_that_is_gone_ends_the_flow(
    catalogue: Catalogue, queue: QueueWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = waiting_for(queue)
    soon(lambda: bool(catalogue.tasks_of(queue.identity)))

    def gone(*_: object) -> None:
        raise CatalogueUnavailable("the catalogue does not answer")

    monkeypatch.setattr(catalogue, "tasks_of", gone)
    with pytest.raises(CatalogueUnavailable, match="does not answer"):
        outcome.result(5)


def test_the_end_of_a_flow_leaves_nothing(catalogue: Catalogue) -> None:
    with QueueWatch(catalogue, timeout_seconds=30.0, patience_seconds=1.0) as queue:
        outcome = waiting_for(queue)
        soon(lambda: bool(catalogue.tasks_of(queue.identity)))
    with pytest.raises(RuntimeError, match="ended"):
        outcome.result(5)
    assert catalogue.queued_tasks() == []
    assert catalogue.task_processes() == []


def test_two_flows_share_workers_and_not_their_outcomes(catalogue: Catalogue, queue: QueueWatch) -> None:
    with QueueWatch(catalogue, timeout_seconds=30.0, patience_seconds=1.0) as other:
        outcomes = {name: waiting_for(flow, name) for name, flow in (("a", queue), ("b", other))}
        soon(lambda: len(catalogue.queued_tasks()) == 2)
        both = [queue.identity, other.identity]
        taken = [catalogue.take_task(Worker(catalogue, name).name, both, ALL) for name in ("w1", "w2")]
        for task in taken:
            assert task is not None
            assert catalogue.finish_task(task, f"of {task.name}", DONE)
        assert {name: outcome.result(5) for name, outcome in outcomes.items()} == {"a": "of a", "b": "of b"}


def test_a_planted_pickle_is_refused_by_the_flow(
    catalogue: Catalogue, queue: QueueWatch, tmp_path: Path
) -> None:
    canary = tmp_path / "ran"
    outcome = waiting_for(queue)
    soon(lambda: bool(catalogue.queued_tasks()))
    planted = base64.b64encode(pickle.dumps(Planted(canary))).decode()
    with catalogue.database.writing() as connection:
        connection.exec_driver_sql("UPDATE queued_tasks SET outcome = ?", (planted,))
    with pytest.raises(NotAReference, match="nothing of it is used"):
        outcome_from_text(fuse_view.fn, outcome.result(5))
    assert not canary.exists()


class Planted:
    """A pickle of it makes a file where it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.path,))
