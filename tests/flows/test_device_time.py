"""What tasks tagged `gpu` cost: counted wherever they run, said, and recorded with the tracked run."""

from __future__ import annotations

import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from flows.workers import device_time as module
from flows.workers.device_time import DeviceTime, count_task, device_time, device_time_tracked
from flows.workers.health import beats_here
from flows.workers.pools import CPU, GPU
from infra.catalogue import ProcessRole, WorkDone, open_catalogue
from tasks.stage import computed_time
from tasks.stage.computed_time import computed_seconds, counted, gpu_task_seconds


@pytest.fixture(autouse=True)
def _nothing_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_elsewhere", DeviceTime())
    monkeypatch.setattr(computed_time, "_counted", computed_time._Counted())


def test_tasks_of_gpu_workers_are_counted_by_device() -> None:
    assert device_time().line() is None
    assert device_time().metrics() == {}
    count_task(WorkDone("a:1", "cpu", 30.0), GPU)
    assert device_time().line() == "tasks of pool mer-gpu computed for 30.0 s (on device cpu)"
    count_task(WorkDone("b:2", "cuda 1 (H200)", 1800.0), GPU)
    count_task(WorkDone("c:3", "cpu", 99.0), CPU)
    assert device_time() == DeviceTime(1830.0, 1800.0)
    assert device_time().line() == "tasks of pool mer-gpu computed for 1830.0 s (0.500 GPU hours)"
    assert device_time().metrics() == {"gpu_pool_seconds": 1830.0, "gpu_hours": 0.5}


def test_a_tracked_run_has_what_its_own_tasks_cost_also_where_it_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logged: list[tuple[str, dict[str, float]]] = []
    tracker = SimpleNamespace(log_run=lambda name, metrics: logged.append((name, metrics)))
    monkeypatch.setattr(module, "workspace", lambda: SimpleNamespace(tracker=tracker))
    count_task(WorkDone("a:1", "cpu", 5.0), GPU)
    with device_time_tracked("nothing new"):
        pass
    with pytest.raises(LookupError), device_time_tracked("retrain x"):
        count_task(WorkDone("a:1", "cpu", 7.0), GPU)
        raise LookupError
    assert logged == [("retrain x", {"gpu_pool_seconds": 7.0, "gpu_hours": 0.0})]


def test_in_threads_tasks_tagged_gpu_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.context import TaskRunContext

    tags: set[str] = set()
    context = SimpleNamespace(task=SimpleNamespace(tags=tags))
    monkeypatch.setattr(TaskRunContext, "get", classmethod(lambda cls: cast(Any, context)))
    with counted():
        pass
    assert computed_seconds() > 0
    assert gpu_task_seconds() == 0
    tags.add("gpu")
    before = computed_seconds()
    with counted():
        pass
    assert gpu_task_seconds() == pytest.approx(computed_seconds() - before)
    assert device_time().seconds == gpu_task_seconds()


def test_a_container_is_healthy_while_its_worker_beats(tmp_path: Path) -> None:
    with open_catalogue(f"sqlite:///{tmp_path / 'catalogue.db'}") as catalogue:
        catalogue.beat("elsewhere", ProcessRole.WORKER, "another-host:1", 1, [GPU])
        catalogue.beat("flow", ProcessRole.FLOW, f"{socket.gethostname()}:1", 1)
        assert not beats_here(catalogue)
        catalogue.beat("here", ProcessRole.WORKER, f"{socket.gethostname()}:7", 1, [GPU])
        assert beats_here(catalogue)
        with catalogue.database.writing() as connection:
            connection.exec_driver_sql("UPDATE task_processes SET seen_at = '2020-01-01' WHERE id = 'here'")
        assert not beats_here(catalogue)
