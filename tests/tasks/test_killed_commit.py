"""A stage that is killed around its commit is tracked once and recorded once, by whoever starts next."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from flows.upkeep import put_right
from tasks.stage.stage_record import RECORD
from tasks.stage.workspace import workspace

pytestmark = pytest.mark.slow

STAGE = """
import os, signal, sys
from infra.artifacts import ArtifactStore
from infra.catalogue import Catalogue
from infra.tracking.spool import Spool
from tasks.stage.run import Produced, run_stage

def die(*arguments, **named):
    os.kill(os.getpid(), signal.SIGKILL)

def die_after(owner, name):
    work = getattr(owner, name)
    setattr(owner, name, lambda *a, **k: (work(*a, **k), die()))

def produce(run):
    history = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}]
    return Produced(files={"answer": b"42"}, metrics={"waf": 0.75}, history=history)

killed, parent, *points = sys.argv[1:]
if killed:
    match points[0]:
        case "before the commit": ArtifactStore.commit = die
        case "after the commit": die_after(ArtifactStore, "commit")
        case "after the catalogue's row": die_after(Catalogue, "record_artifact")
        case "after the spool's file": die_after(Spool, "add")
for point in points:
    result = run_stage("test", inputs={"point": point}, config={}, produce=produce, parent_run=f"{parent} {point}")
    print("ran" if result.ran else "found")
"""
POINTS = ("before the commit", "after the commit", "after the catalogue's row", "after the spool's file")


@pytest.fixture
def stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Four stages killed, each at its point, while MLflow does not answer; runs them again, and says which one ran."""
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MER_MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    (tmp_path / "stage.py").write_text(STAGE)
    workspace()  # the catalogue is made

    def start(killed: str, *points: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(tmp_path / "stage.py"), killed, tmp_path.name, *points],
            env={**os.environ, "PYTHONPATH": str(Path.cwd())}, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def again() -> list[str]:
        process = start("", *POINTS)
        said, _ = process.communicate()
        assert process.returncode == 0
        return said.split()

    processes = [start("killed", point) for point in POINTS]
    for process in processes:
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    return again


def runs_of(parent: str, address: str) -> list[Any]:
    """Stage runs of parents whose names begin so."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(address, address)
    experiment = client.get_experiment_by_name("mer")
    runs = client.search_runs([experiment.experiment_id]) if experiment is not None else []
    below = [
        run for run in runs if run.data.tags["mer.key"].startswith(parent) and "/" in run.data.tags["mer.key"]
    ]
    for run in below:
        assert len(client.get_metric_history(run.info.run_id, "loss")) == 2, "figures came twice"
        assert run.data.metrics["waf"] == 0.75
        assert len(client.get_metric_history(run.info.run_id, "stage_seconds")) == 1, "figures came twice"
    return below


def test_its_figures_come_once_with_the_next_run_of_the_stage(
    stages: Callable[[], list[str]], tmp_path: Path, mlflow_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stages() == ["ran", "found", "found", "found"]
    check_tracked_once(POINTS, tmp_path, mlflow_address, monkeypatch)
    assert not [path for path in workspace().work.rglob("*") if path.is_file()], (
        "work folders were left behind"
    )


def test_its_figures_come_once_with_the_next_start_of_any_flow(
    stages: Callable[[], list[str]], tmp_path: Path, mlflow_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_tracked_once(POINTS[1:], tmp_path, mlflow_address, monkeypatch)
    (unfinished,) = workspace().work.glob(f"*/*/{RECORD}")
    unfinished.write_text(json.dumps(["half"]))
    assert stages() == ["ran", "found", "found", "found"], "a damaged record stops nothing"
    check_tracked_once(POINTS, tmp_path, mlflow_address, monkeypatch)


def check_tracked_once(
    points: Sequence[str], folder: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a start with MLflow, and after another one."""
    monkeypatch.setenv("MER_MLFLOW_TRACKING_URI", address)
    for _ in range(2):
        put_right()
        records = {record.ref.sha256: record for record in workspace().catalogue.artifacts("test")}
        assert len(records) == len(points)
        assert all("torch" in record.libraries for record in records.values()), "what made it is known"
        runs = runs_of(folder.name, address)
        assert sorted(run.data.tags["mer.key"].split("/")[0] for run in runs) == sorted(
            f"{folder.name} {point}" for point in points
        )
        assert {run.data.tags["artifact_sha256"] for run in runs} == set(records)
    monkeypatch.setenv("MER_MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
