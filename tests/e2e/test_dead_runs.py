"""kill -9 of a run: Prefect shows it as crashed within two minutes, its tasks too, and MLflow as failed."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest
from e2e_installation import TINY, Installation
from prefect_runs import ShownRuns, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.nightly, pytest.mark.timeout(1800)]

SECONDS = 120.0


def test_a_killed_run_is_crashed_with_its_tasks_and_failed_in_mlflow(
    installation: Installation,
    mlflow_server: str,
    mlflow_auth: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = ShownRuns(installation)
    process = _started(installation)
    run = _running(installation)
    wait_until(lambda: shown.task_runs(run), 200, 0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    took = wait_until(lambda: shown.state(run) == "CRASHED", SECONDS)
    wait_until(lambda: not shown.task_runs(run), SECONDS - took)
    assert shown.history(run)[-2:] == ["RUNNING", "CRASHED"]
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", mlflow_auth[0])
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", mlflow_auth[1])
    name = f"retrain {shown.api.flow_run(run)['name']}"  # type: ignore[index]
    wait_until(lambda: _mlflow_status(mlflow_server, name) == "FAILED", SECONDS - took)
    wait_until(lambda: not _records(installation), 60)
    installation.run()
    assert not _records(installation), "a run that ended well leaves no record of its process"


def test_a_run_killed_with_everything_of_its_home_is_crashed_by_the_next_start(
    installation: Installation,
) -> None:
    shown = ShownRuns(installation)
    process = _started(installation)
    run = _running(installation)
    supervisor = installation.settings().services_folder / "supervisor.json"
    wait_until(supervisor.exists, 60)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    _kill_supervisor(installation)
    assert shown.state(run) in ("RUNNING", "PENDING")
    done = installation.mer("up")
    assert "marked as crashed, since their processes are dead: retrain of process" in done.stdout
    assert shown.state(run) == "CRASHED"
    installation.mer("down")


def test_a_computation_that_lets_no_thread_of_its_process_run_is_not_dead(
    installation: Installation,
) -> None:
    """A stopped process (SIGSTOP) stands for one that holds the interpreter's lock: neither beats."""
    shown = ShownRuns(installation)
    process = _started(installation)
    run = _running(installation)
    wait_until(lambda: shown.state(run) == "RUNNING", 60)
    os.killpg(process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(AssertionError, match="not within"):
            wait_until(lambda: shown.state(run) != "RUNNING", 100, 2.0)
    finally:
        os.killpg(process.pid, signal.SIGCONT)
    assert process.wait(timeout=400) == 0
    assert shown.state(run) == "COMPLETED"


def _started(installation: Installation) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        installation.command("run", "--recipe", str(TINY), "--corpus", str(installation.corpus), "--name", "tiny"),
        env=installation.variables(), start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _running(installation: Installation) -> str:
    """Id of the flow run, as soon as one of its tasks was begun."""
    wait_until(installation.settings().services_folder.joinpath("supervisor.json").exists, 60)
    wait_until(lambda: any(run for run in _flow_runs(installation)), 60)
    (run,) = _flow_runs(installation)
    return str(run)


def _flow_runs(installation: Installation) -> list[str | None]:
    with installation.catalogue() as catalogue:
        return [row.flow_run for row in catalogue.run_processes()]


def _records(installation: Installation) -> list[str]:
    with installation.catalogue() as catalogue:
        return [row.key for row in catalogue.run_processes()]


def _kill_supervisor(installation: Installation) -> None:
    from infra.services.process import ServiceProcess

    for member in ServiceProcess("supervisor", installation.settings().services_folder).members():
        member.kill()


def _mlflow_status(server: str, name: str) -> str | None:
    from mlflow import MlflowClient

    client = MlflowClient(server)
    experiment = client.get_experiment_by_name("mer")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], filter_string=f"attributes.run_name = '{name}'")
    return runs[0].info.status if runs else None
