"""A home whose clock runs fast: instead of waiting a day, all that is there gets a day older.

Every time in the catalogue, in MLflow's database and of every file is moved back; the code under test reads the real clock.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from infra.settings import Settings
from infra.sqlite_url import sqlite_file

DAY = 86_400.0
_TIMES = {
    "artifacts": ("created_at", "used_at"),
    "snapshots": ("created_at", "used_at"),
    "model_versions": ("created_at", "retired_at"),
    "promotions": ("created_at",),
    "generations": ("created_at",),
}
_MILLISECONDS = {"runs": ("start_time", "end_time", "deleted_time"), "metrics": ("timestamp",)}


def pass_days(settings: Settings, days: float) -> None:
    """Let everything in the home become so many days older."""
    seconds = days * DAY
    catalogue = sqlite_file(settings.database_url.get_secret_value())
    assert catalogue is not None
    with contextlib.closing(sqlite3.connect(catalogue, timeout=30)) as database, database:
        for table, columns in _TIMES.items():
            for column in columns:
                database.execute(
                    f"UPDATE {table} SET {column} = strftime('%Y-%m-%d %H:%M:%f', {column}, ?) "
                    f"WHERE {column} IS NOT NULL",
                    (f"{-seconds:+} seconds",),
                )
    tracked = settings.home / "mlflow" / "mlflow.db"
    if tracked.is_file():
        with contextlib.closing(sqlite3.connect(tracked, timeout=30)) as database, database:
            for table, columns in _MILLISECONDS.items():
                for column in columns:
                    database.execute(f"UPDATE {table} SET {column} = {column} - ?", (int(seconds * 1000),))
    for folder, folders, files in os.walk(settings.home):
        for name in (*folders, *files):
            path = Path(folder) / name
            facts = path.lstat()
            os.utime(path, (facts.st_atime - seconds, facts.st_mtime - seconds), follow_symlinks=False)


def row_counts(file: Path) -> dict[str, int]:
    """Rows of every table of an SQLite database."""
    with contextlib.closing(sqlite3.connect(file, timeout=30)) as database:
        names = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}


def bytes_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
