"""Making backups: on demand, once a day, and before a schema is changed; the newest ones stay."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from sqlalchemy import Connection, text

from infra.catalogue.backups import backups_in, next_backup
from infra.catalogue.database import Database
from infra.catalogue.dump import dump

BACKUPS = 7
"""How many stay in the home."""
DAY_SECONDS = 86_400.0


def back_up(database: Database, folder: Path) -> Path:
    """Write one consistent backup of a catalogue that others may be writing to, and return its file.

    Raises:
        CatalogueDamaged: an SQLite database does not pass its own check: a backup of it would be none.
        StoreFull, WriteFailed: it cannot be written.
    """
    with database.reading() as connection:
        if database.is_postgres:
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        else:
            found = connection.execute(text("PRAGMA quick_check(1)")).scalar()
            if found != "ok":
                raise database.damaged(str(found))
        return back_up_within(connection, folder)


def back_up_within(connection: Connection, folder: Path) -> Path:
    """The same of what a transaction sees."""
    path = next_backup(folder, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
    dump(connection, path)
    return path


def back_up_daily(database: Database, folder: Path) -> Path | None:
    """A backup if the newest one is a day old, by a clock that may have been set either way; the newest `BACKUPS` stay.

    Raises: see `back_up`.
    """
    known = backups_in(folder)
    if known:
        with contextlib.suppress(OSError):
            if abs(time.time() - known[-1].path.stat().st_mtime) < DAY_SECONDS:
                return None
    path = back_up(database, folder)
    forget_old(folder)
    return path


def forget_old(folder: Path) -> None:
    """Remove all but the newest `BACKUPS`."""
    for backup in backups_in(folder)[:-BACKUPS]:
        backup.path.unlink(missing_ok=True)
