"""One setting decides where tasks run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import pytest
from prefect import Task
from prefect.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner

from flows.runners import configured_task_runner
from flows.workers.serve import all_tasks
from flows.workers.task_runner import WorkersTaskRunner
from infra.errors import SettingsError
from infra.settings import Settings, load_settings


def asking_for(runner: str, tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path, task_runner=runner, task_workers=2)


def test_a_worker_serves_every_task() -> None:
    names = {task.name for task in all_tasks()}
    assert {"list corpus", "probe shard", "extract shard", "fuse", "evaluate", "gate and promote"} <= names
    assert len(names) == len(all_tasks()), "workers find tasks by their names"


@pytest.mark.parametrize("task", all_tasks(), ids=lambda task: task.name)
def test_every_task_can_be_sent_to_another_process(task: Task[..., Any]) -> None:
    assert cloudpickle.loads(cloudpickle.dumps(task)).name == task.name


def test_threads_unless_asked_otherwise(tmp_path: Path) -> None:
    assert isinstance(configured_task_runner(load_settings(home=tmp_path)), ThreadPoolTaskRunner)
    assert isinstance(configured_task_runner(asking_for("processes", tmp_path)), ProcessPoolTaskRunner)
    runner = configured_task_runner(asking_for("workers", tmp_path))
    assert isinstance(runner, WorkersTaskRunner)
    assert isinstance(runner.duplicate(), WorkersTaskRunner)


@pytest.mark.parametrize("engine", ["dask", "ray"])
def test_a_missing_engine_says_what_to_install(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.runners.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=rf"pip install 'mer-pipeline\[{engine}\]'"):
        configured_task_runner(asking_for(engine, tmp_path))


def test_dask_does_not_profile_its_workers(tmp_path: Path) -> None:
    dask = pytest.importorskip("dask", reason="the extra dask is not installed")
    pytest.importorskip("prefect_dask", reason="the extra dask is not installed")
    import distributed  # noqa: F401 (its defaults)

    with dask.config.set({"distributed.worker.profile.enabled": True}):
        configured_task_runner(asking_for("dask", tmp_path))
        assert dask.config.get("distributed.worker.profile.enabled") is False
