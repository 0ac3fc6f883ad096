"""SQLite files shrink: what was deleted leaves free pages, which are given back while nothing runs."""

from __future__ import annotations

import contextlib
import sqlite3
from functools import partial
from pathlib import Path

from infra.settings import Settings
from infra.sqlite_url import sqlite_file
from tasks.prune.report import Cleanup
from tasks.stage.work_folder import in_use, work_folders
from tasks.stage.workspace import Workspace

LEAST_FREE_BYTES = 1 << 20
LEAST_FREE_SHARE = 0.2
"""A file is written anew only where this much of it is free: free pages are used again anyhow."""
_WAIT_SECONDS = 2.0
"""Longest wait for a lock: who is busy is left alone."""


def database_files(settings: Settings) -> dict[str, Path]:
    """Name -> file of each SQLite database of the home that is there."""
    urls = {
        "catalogue": settings.database_url.get_secret_value(),
        "MLflow": settings.mlflow_tracking_uri.get_secret_value(),
        "searches": settings.optuna_storage_url.get_secret_value(),
    }
    files = {name: sqlite_file(url) for name, url in urls.items() if url.startswith("sqlite:")}
    files["Prefect"] = settings.home / "prefect" / "prefect.db"
    return {name: file for name, file in files.items() if file is not None and file.is_file()}


def shrink_databases(space: Workspace, cleanup: Cleanup, *, idle: bool) -> None:
    """Give free pages back, where nothing runs.

    Args:
        space: the home.
        cleanup: how, and what came of it.
        idle: False: a flow is at work somewhere, which must not wait for this.
    """
    shrunk = cleanup.kind("databases shrunk", 0, 0)
    if not idle or any(map(in_use, work_folders(space.settings.checkpoint_folder))):
        cleanup.notes.append("databases are not shrunk while a flow is at work")
        return
    for name, file in database_files(space.settings).items():
        try:
            if (
                size := free_bytes(file)
            ) > LEAST_FREE_BYTES and size > LEAST_FREE_SHARE * file.stat().st_size:
                shrunk.add(size)
                cleanup.do(partial(_vacuum, file))
        except sqlite3.Error as error:
            cleanup.notes.append(f"the database of {name} is not shrunk now: {error}")


def free_bytes(file: Path) -> int:
    """Bytes of a database file that hold nothing."""
    with contextlib.closing(_opened(file)) as database:
        pages = database.execute("PRAGMA freelist_count").fetchone()[0]
        return int(pages) * int(database.execute("PRAGMA page_size").fetchone()[0])


def _vacuum(file: Path) -> None:
    with contextlib.closing(_opened(file)) as database:
        database.execute("VACUUM")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _opened(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(file, timeout=_WAIT_SECONDS, isolation_level=None)
