"""Old tracked runs go with their figures, those of kept versions stay; in MLflow's database and at a server."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aged_home import pass_days, row_counts

from infra.artifacts import ArtifactRef
from infra.tracking import RunRecord
from tasks.prune.mlflow_runs import sweep_tracked_runs
from tasks.prune.report import Cleanup
from tasks.prune.window import Window
from tasks.serve.registry import mirror_registry
from tasks.stage.workspace import Workspace, workspace


def _window(days: float) -> Window:
    return Window(used_before=datetime.now(UTC) - timedelta(days=days), written_before=time.time())


def _run(space: Workspace, name: str) -> ArtifactRef:
    """A parent run with a stage that makes the evaluation of a version."""
    ref = space.artifacts.commit("evaluation", name.replace(" ", "-"), {"report": name.encode()})
    space.tracker.log_run(name, params={"a": 1}, dataset=("corpus", name * 3, 10))
    record = RunRecord(
        name="evaluation", metrics={"waf": 0.5}, history=[{"epoch": 1, "loss": 2.0}],
        figures={"curve.png": b"a picture"}, tags={"artifact": f"{ref.kind}/{ref.key}"},
    )  # fmt: skip
    space.tracker.log_stage(parent=name, idempotency_key=ref.key, record=record)
    return ref


def _home_with_runs(space: Workspace) -> None:
    """Runs of a served version, of one that was given up, and of none; the last one is of today."""
    for name in ("served", "given-up", "experiment"):
        ref = _run(space, name)
        if name != "experiment":
            space.catalogue.add_model_version("m", ref, evaluation=ref, metrics={}, idempotency_key=name)
    space.catalogue.set_alias("m", "champion", 1, "better")
    mirror_registry(space)
    with space.catalogue.database.writing() as connection:
        connection.exec_driver_sql("UPDATE model_versions SET retired_at = created_at WHERE version = 2")


def _of_another_catalogue(space: Workspace) -> None:
    """A version of the same model, which another home tracks to the same MLflow."""
    _run(space, "of another home")
    with space.tracker._sink.client() as (client, experiment):
        [run] = [
            run for run in client.search_runs([experiment]) if run.data.tags["mer.key"] == "of another home"
        ]
        client.create_model_version(
            "m", "mer-artifact://model/x", run.info.run_id, tags={"mer.version": "2", "mer.sha256": "f" * 64}
        )


def _keys(space: Workspace) -> set[str]:
    with space.tracker._sink.client() as (client, experiment):
        return {run.data.tags["mer.key"].partition("/")[0] for run in client.search_runs([experiment])}


@pytest.mark.slow
def test_runs_in_a_database_are_purged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    space = workspace()
    _home_with_runs(space)
    _of_another_catalogue(space)
    pass_days(space.settings, 40)
    _run(space, "of today")
    figures = space.settings.home / "mlflow" / "artifacts"
    assert len(list(figures.rglob("curve.png"))) == 5
    counted = Cleanup(dry_run=True)
    sweep_tracked_runs(space, _window(30), counted)
    assert counted.total == 4
    assert counted.total_bytes == 2 * len(b"a picture")
    assert _keys(space) == {"served", "given-up", "experiment", "of today", "of another home"}
    cleanup = Cleanup(dry_run=False)
    sweep_tracked_runs(space, _window(30), cleanup)
    assert (cleanup.total, cleanup.total_bytes) == (counted.total, counted.total_bytes)
    assert _keys(space) == {"served", "of today", "of another home"}
    assert len(list(figures.rglob("curve.png"))) == 3
    rows = row_counts(space.settings.home / "mlflow" / "mlflow.db")
    assert rows["runs"] == 6
    assert rows["inputs"] == rows["datasets"] == 3
    mirror_registry(space)
    assert _keys(space) == {"served", "of today", "of another home"}, (
        "the mirror of the registry makes none of them again"
    )


@pytest.mark.slow
def test_runs_at_a_server_are_deleted_and_it_is_said_who_purges_them(
    mlflow_settings: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    from infra.settings import Settings
    from tasks.stage.workspace import _open

    assert isinstance(mlflow_settings, Settings)
    monkeypatch.setenv("MER_HOME", str(mlflow_settings.home))
    monkeypatch.setenv("MER_MLFLOW_TRACKING_URI", mlflow_settings.mlflow_tracking_uri.get_secret_value())
    monkeypatch.setenv("MER_MLFLOW_USERNAME", str(mlflow_settings.mlflow_username))
    assert mlflow_settings.mlflow_password is not None
    monkeypatch.setenv("MER_MLFLOW_PASSWORD", mlflow_settings.mlflow_password.get_secret_value())
    _open.clear()
    space = workspace()
    old = f"old {time.time_ns()}"
    _run(space, old)
    with space.tracker._sink.client() as (client, experiment):
        [run] = [run for run in client.search_runs([experiment]) if run.data.tags["mer.key"] == old]
        client.create_run(experiment, start_time=1000, tags={"mer.key": f"{old} and long ago"})
    cleanup = Cleanup(dry_run=False)
    sweep_tracked_runs(space, _window(30), cleanup)
    assert cleanup.total >= 1
    assert any("`mlflow gc` purges them" in note for note in cleanup.notes)
    assert old in _keys(space)
    assert f"{old} and long ago" not in _keys(space)
    at_start = Cleanup(dry_run=False, deadline=time.monotonic() + 5)
    sweep_tracked_runs(space, _window(30), at_start)
    assert at_start.total == 0
    assert run is not None
