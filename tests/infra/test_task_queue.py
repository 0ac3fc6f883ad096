"""Tasks of flows for workers: taken once, lost never, and an outcome counts once."""

from __future__ import annotations

import threading

import pytest

from infra.catalogue import Catalogue, ProcessRole, open_catalogue


@pytest.fixture
def queue(catalogue: Catalogue) -> Catalogue:
    """A flow `f` and two workers, all of which have beaten once."""
    for name, role in (("f", ProcessRole.FLOW), ("w1", ProcessRole.WORKER), ("w2", ProcessRole.WORKER)):
        catalogue.beat(name, role, f"host:{name}", 1)
    return catalogue


def test_tasks_are_taken_in_their_order_and_once(queue: Catalogue) -> None:
    ids = [queue.add_task("f", name, "{}") for name in ("a", "b")]
    first, second = queue.take_task("w1", ["f"]), queue.take_task("w2", ["f"])
    assert first is not None
    assert second is not None
    assert [first.id, second.id] == ids
    assert queue.take_task("w1", ["f"]) is None
    assert queue.take_task("w1", []) is None
    assert queue.finish_task(first, '{"value":1}')
    assert [state.finished for state in queue.tasks_of("f")] == [True, False]
    assert queue.collect_outcomes(ids) == {ids[0]: '{"value":1}'}
    assert [state.id for state in queue.tasks_of("f")] == [ids[1]]


def test_only_tasks_of_flows_that_are_alive_are_taken(queue: Catalogue) -> None:
    queue.add_task("dead", "a", "{}")
    assert queue.take_task("w1", ["f"]) is None


def test_a_dead_workers_task_waits_again_and_its_late_outcome_is_refused(queue: Catalogue) -> None:
    task = queue.add_task("f", "a", "{}")
    late = queue.take_task("w1", ["f"])
    assert late is not None
    assert queue.end_process("w1")
    (state,) = queue.tasks_of("f")
    assert (state.worker, state.losses) == (None, 1)
    assert not queue.finish_task(late, '{"value":"late"}')
    again = queue.take_task("w2", ["f"])
    assert again is not None
    assert not queue.finish_task(late, '{"value":"later"}')
    assert queue.finish_task(again, '{"value":"right"}')
    assert not queue.finish_task(again, '{"value":"twice"}')
    assert queue.collect_outcomes([task]) == {task: '{"value":"right"}'}


def test_the_same_worker_that_takes_it_twice_has_one_outcome(queue: Catalogue) -> None:
    task = queue.add_task("f", "a", "{}")
    first = queue.take_task("w1", ["f"])
    assert first is not None
    assert queue.return_lost(task, "w1")
    assert not queue.return_lost(task, "w1")
    second = queue.take_task("w1", ["f"])
    assert second is not None
    assert not queue.finish_task(first, "{}")
    assert queue.finish_task(second, "{}")


def test_a_process_that_has_beaten_since_is_not_ended(queue: Catalogue) -> None:
    queue.add_task("f", "a", "{}")
    assert queue.take_task("w1", ["f"]) is not None
    queue.beat("w1", ProcessRole.WORKER, "host:w1", 2)
    assert not queue.end_process("w1", beat=1)
    assert queue.tasks_of("f")[0].worker == "w1"
    assert queue.end_process("w1", beat=2)


def test_a_flow_that_ends_takes_its_tasks_along(queue: Catalogue) -> None:
    queue.add_task("f", "a", "{}")
    taken = queue.take_task("w1", ["f"])
    assert taken is not None
    assert queue.end_process("f")
    assert queue.queued_tasks() == []
    assert not queue.finish_task(taken, "{}")
    assert [row.id for row in queue.task_processes()] == ["w1", "w2"]


def test_many_workers_at_once_take_every_task_once(catalogue: Catalogue, database_url: str) -> None:
    names = [catalogue.add_task("f", f"t{i}", "{}") for i in range(24)]
    taken: list[str] = []

    def take_all() -> None:
        with open_catalogue(database_url, timeout_seconds=10) as opened:
            while (task := opened.take_task(threading.current_thread().name, ["f"])) is not None:
                taken.append(task.id)

    threads = [threading.Thread(target=take_all, name=f"w{i}") for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(names)
