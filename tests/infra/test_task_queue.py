"""Tasks of flows for workers: taken once, lost never, and an outcome counts once."""

from __future__ import annotations

import threading

import pytest

from infra.catalogue import Catalogue, FinishedTask, ProcessRole, WorkDone, open_catalogue

CPU, GPU = "mer-cpu", "mer-gpu"
DONE = WorkDone("host:1", "cuda 0 (a GPU)", 2.5)


@pytest.fixture
def queue(catalogue: Catalogue) -> Catalogue:
    """A flow `f` and two workers, all of which have beaten once."""
    for name, role in (("f", ProcessRole.FLOW), ("w1", ProcessRole.WORKER), ("w2", ProcessRole.WORKER)):
        catalogue.beat(name, role, f"host:{name}", 1)
    return catalogue


def test_tasks_are_taken_in_their_order_and_once(queue: Catalogue) -> None:
    ids = [queue.add_task("f", name, "{}", CPU) for name in ("a", "b")]
    first, second = queue.take_task("w1", ["f"], [CPU]), queue.take_task("w2", ["f"], [CPU])
    assert first is not None
    assert second is not None
    assert [first.id, second.id] == ids
    assert queue.take_task("w1", ["f"], [CPU]) is None
    assert queue.take_task("w1", [], [CPU]) is None
    assert queue.finish_task(first, '{"value":1}', DONE)
    assert [state.finished for state in queue.tasks_of("f")] == [True, False]
    assert queue.collect_outcomes(ids) == {ids[0]: FinishedTask('{"value":1}', CPU, DONE)}
    assert [state.id for state in queue.tasks_of("f")] == [ids[1]]


def test_only_tasks_of_flows_that_are_alive_are_taken(queue: Catalogue) -> None:
    queue.add_task("dead", "a", "{}", CPU)
    assert queue.take_task("w1", ["f"], [CPU]) is None


def test_a_worker_takes_tasks_of_its_pools_only(queue: Catalogue) -> None:
    queue.add_task("f", "a", "{}", CPU)
    gpu = queue.add_task("f", "b", "{}", GPU)
    assert queue.take_task("w1", ["f"], []) is None
    taken = queue.take_task("w1", ["f"], [GPU])
    assert taken is not None
    assert (taken.id, taken.pool) == (gpu, GPU)
    assert queue.take_task("w2", ["f"], [GPU]) is None
    assert [(state.pool, state.worker) for state in queue.queued_tasks()] == [(CPU, None), (GPU, "w1")]
    other = queue.take_task("w2", ["f"], [GPU, CPU])
    assert other is not None
    assert other.pool == CPU


def test_a_worker_says_its_pools_and_device(queue: Catalogue) -> None:
    queue.beat("w1", ProcessRole.WORKER, "host:w1", 2, [CPU, GPU], "cpu")
    rows = {row.id: (row.pools, row.device) for row in queue.task_processes()}
    assert rows == {"f": ((), ""), "w1": ((CPU, GPU), "cpu"), "w2": ((), "")}


def test_a_dead_workers_task_waits_again_and_its_late_outcome_is_refused(queue: Catalogue) -> None:
    task = queue.add_task("f", "a", "{}", CPU)
    late = queue.take_task("w1", ["f"], [CPU])
    assert late is not None
    assert queue.end_process("w1")
    (state,) = queue.tasks_of("f")
    assert (state.worker, state.losses) == (None, 1)
    assert not queue.finish_task(late, '{"value":"late"}', DONE)
    again = queue.take_task("w2", ["f"], [CPU])
    assert again is not None
    assert not queue.finish_task(late, '{"value":"later"}', DONE)
    assert queue.finish_task(again, '{"value":"right"}', DONE)
    assert not queue.finish_task(again, '{"value":"twice"}', DONE)
    assert queue.collect_outcomes([task]) == {task: FinishedTask('{"value":"right"}', CPU, DONE)}


def test_the_same_worker_that_takes_it_twice_has_one_outcome(queue: Catalogue) -> None:
    task = queue.add_task("f", "a", "{}", CPU)
    first = queue.take_task("w1", ["f"], [CPU])
    assert first is not None
    assert queue.return_lost(task, "w1")
    assert not queue.return_lost(task, "w1")
    second = queue.take_task("w1", ["f"], [CPU])
    assert second is not None
    assert not queue.finish_task(first, "{}", DONE)
    assert queue.finish_task(second, "{}", DONE)


def test_a_process_that_has_beaten_since_is_not_ended(queue: Catalogue) -> None:
    queue.add_task("f", "a", "{}", CPU)
    assert queue.take_task("w1", ["f"], [CPU]) is not None
    queue.beat("w1", ProcessRole.WORKER, "host:w1", 2)
    assert not queue.end_process("w1", beat=1)
    assert queue.tasks_of("f")[0].worker == "w1"
    assert queue.end_process("w1", beat=2)


def test_a_flow_that_ends_takes_its_tasks_along(queue: Catalogue) -> None:
    queue.add_task("f", "a", "{}", CPU)
    taken = queue.take_task("w1", ["f"], [CPU])
    assert taken is not None
    assert queue.end_process("f")
    assert queue.queued_tasks() == []
    assert not queue.finish_task(taken, "{}", DONE)
    assert [row.id for row in queue.task_processes()] == ["w1", "w2"]


def test_many_workers_at_once_take_every_task_once(catalogue: Catalogue, database_url: str) -> None:
    names = [catalogue.add_task("f", f"t{i}", "{}", CPU) for i in range(24)]
    taken: list[str] = []

    def take_all() -> None:
        with open_catalogue(database_url, timeout_seconds=10) as opened:
            while (task := opened.take_task(threading.current_thread().name, ["f"], [CPU])) is not None:
                taken.append(task.id)

    threads = [threading.Thread(target=take_all, name=f"w{i}") for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(names)
