"""Tracked runs that are out of retention: deleted and purged, with their figures. Those of kept model versions stay, and those of
versions that this catalogue does not know: several homes may track to one server.

What MLflow's registry says of versions is small and stays, as the catalogue's rows do.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from infra.services.home_secrets import mlflow_credentials
from infra.settings import Settings
from infra.shown_address import shown_address
from infra.sqlite_url import sqlite_file
from infra.tracking import EXPERIMENT
from infra.tracking.mlflow_sink import PARENT_TAG, MlflowSink
from infra.tracking.registry import SHA256_TAG, VERSION_TAG
from tasks.prune.files import folder_size
from tasks.prune.report import Cleanup
from tasks.prune.window import Window
from tasks.stage.workspace import Workspace

_OLD_RUNS = """
    SELECT runs.run_uuid, runs.artifact_uri, parent.value
    FROM runs
    JOIN experiments ON experiments.experiment_id = runs.experiment_id
    LEFT JOIN tags AS parent ON parent.run_uuid = runs.run_uuid AND parent.key = ?
    WHERE experiments.name = ? AND runs.start_time < ?
"""
_VERSION_RUNS = """
    SELECT model_versions.run_id, model_versions.name, number.value, sha256.value
    FROM model_versions
    LEFT JOIN model_version_tags AS number
        ON number.name = model_versions.name AND number.version = model_versions.version AND number.key = ?
    LEFT JOIN model_version_tags AS sha256
        ON sha256.name = model_versions.name AND sha256.version = model_versions.version AND sha256.key = ?
    WHERE model_versions.run_id IS NOT NULL
"""

Version = tuple[str, str, str]
"""Name of a model, number and sha256 of a version."""
Run = tuple[str, str, str | None]
"""Id, address of its figures, id of its parent."""


def sweep_tracked_runs(space: Workspace, window: Window, cleanup: Cleanup) -> None:
    """Purge old runs where MLflow's database can be reached; on a server they are deleted, and purged by its own `mlflow gc`."""
    removed = cleanup.kind("tracked runs", 0, 0)
    uri = space.settings.mlflow_tracking_uri.get_secret_value()
    before_ms = int(window.seconds * 1000)
    given_up = {
        (row.name, str(row.version), row.artifact.sha256)
        for row in space.catalogue.model_versions()
        if row.retired_at is not None
    }
    file = sqlite_file(uri) if uri.startswith("sqlite:") else None
    if file is not None and not file.is_file():
        return
    if file is None and cleanup.deadline is not None:
        return  # asking a server takes its time: not at a start
    if file is None and not space.tracker.reachable():
        cleanup.notes.append(f"tracked runs are left: no answer from {shown_address(uri)}")
        return
    runs = (
        _in_database(file, before_ms, given_up)
        if file is not None
        else _at_server(space.settings, before_ms, given_up)
    )
    if not runs:
        return
    if cleanup.dry_run:
        for run in runs:
            removed.add(_figures_size(run))
        return
    store = _store(space.settings)
    for run in runs:
        cleanup.check_time()
        removed.add(_purge(store, run))
    _purge_datasets(store)
    if not hasattr(store, "_hard_delete_run"):
        cleanup.notes.append("tracked runs were deleted at the MLflow server; its `mlflow gc` purges them")


def _in_database(file: Path, before_ms: int, given_up: Collection[Version]) -> list[Run]:
    """Old runs by MLflow's database itself, without the seconds that importing MLflow takes."""
    with contextlib.closing(
        sqlite3.connect(f"file:{quote(file.as_posix())}?mode=ro", uri=True, timeout=10)
    ) as database:
        try:
            runs = database.execute(_OLD_RUNS, (PARENT_TAG, EXPERIMENT, before_ms)).fetchall()
            versions = database.execute(_VERSION_RUNS, (VERSION_TAG, SHA256_TAG)).fetchall()
        except sqlite3.OperationalError:  # nothing was tracked yet
            return []
    return _unless_kept(runs, {run for run, *version in versions if tuple(version) not in given_up})


def _at_server(settings: Settings, before_ms: int, given_up: Collection[Version]) -> list[Run]:
    client = _client(settings)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return []
    versions = _pages(lambda token: client.search_model_versions(page_token=token))
    protected = {
        item.run_id
        for item in versions
        if (item.name, item.tags.get(VERSION_TAG), item.tags.get(SHA256_TAG)) not in given_up
    }
    found = _pages(
        lambda token: client.search_runs(
            [experiment.experiment_id],
            filter_string=f"attributes.start_time < {max(before_ms, 0)}",
            max_results=1000,
            page_token=token,
        )
    )
    runs = [(run.info.run_id, run.info.artifact_uri or "", run.data.tags.get(PARENT_TAG)) for run in found]
    return _unless_kept(runs, protected)


def _pages(read: Any) -> list[Any]:
    found: list[Any] = []
    token: str | None = None
    while True:
        page = read(token)
        found += page
        token = page.token
        if not token:
            return found


def _unless_kept(runs: Iterable[Run], protected: Collection[str]) -> list[Run]:
    return [run for run in runs if run[0] not in protected and run[2] not in protected]


def _client(settings: Settings) -> Any:
    uri = settings.mlflow_tracking_uri.get_secret_value()
    return MlflowSink(uri, EXPERIMENT, mlflow_credentials(settings, uri))._client()[0]


def _store(settings: Settings) -> Any:
    return _client(settings)._tracking_client.store


def _purge(store: Any, run: Run) -> int:
    """Remove a run: its figures first, so that a kill leaves a run that the next clean-up finds."""
    size = _figures_size(run)
    if (folder := _figures(run)) is not None:
        shutil.rmtree(folder, ignore_errors=True)
    if not hasattr(store, "_hard_delete_run"):
        store.delete_run(run[0])
        return size
    from mlflow.store.tracking.dbmodels.models import SqlInput, SqlInputTag

    with store.ManagedSessionMaker(read_only=False) as session:  # what `mlflow gc` leaves behind
        inputs = [
            row.input_uuid for row in session.query(SqlInput).filter(SqlInput.destination_id == run[0]).all()
        ]
        session.query(SqlInputTag).filter(SqlInputTag.input_uuid.in_(inputs)).delete(
            synchronize_session=False
        )
        session.query(SqlInput).filter(SqlInput.destination_id == run[0]).delete(synchronize_session=False)
    store._hard_delete_run(run[0])
    return size


def _purge_datasets(store: Any) -> None:
    """Remove what MLflow knows of data sets that no run read."""
    if not hasattr(store, "_hard_delete_run"):
        return
    from mlflow.store.tracking.dbmodels.models import SqlDataset, SqlInput

    with store.ManagedSessionMaker(read_only=False) as session:
        used = session.query(SqlInput.source_id)
        session.query(SqlDataset).filter(SqlDataset.dataset_uuid.not_in(used)).delete(
            synchronize_session=False
        )


def _figures(run: Sequence[Any]) -> Path | None:
    """Folder of a run's files on this machine; None: they are elsewhere. `<location>/<run id>/artifacts` is MLflow's layout."""
    parts = urlsplit(str(run[1] or ""))
    folder = Path(unquote(parts.path)).parent
    return folder if parts.scheme in ("file", "") and folder.name == run[0] else None


def _figures_size(run: Run) -> int:
    folder = _figures(run)
    return 0 if folder is None else folder_size(folder)
