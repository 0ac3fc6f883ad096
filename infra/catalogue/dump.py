"""The catalogue as one file that every database takes: gzip of JSON lines, checked by a sha256 of its own.

    {"format": "mer catalogue", "version": 1, "revision": "0009", "tables": {"corpora": ["id", "name", ...], ...}}
    ["corpora", [1, "ravdess", ...]]
    ...
    {"rows": 4711, "sha256": "..."}                      over every line before it

Tables and columns are those of the database, not of this code, so a catalogue is written before its schema is changed. Read back
it gets the schema of that time first, then its rows, then what later code changed.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, Connection, MetaData, Table, inspect, select, text

from infra.catalogue.database import finite_json
from infra.catalogue.queue_tables import QueuedTask, TaskProcess
from infra.catalogue.review_tables import ReviewClaim
from infra.catalogue.tables import Artifact, Base, Corpus, Model, RunProcess
from infra.errors import BackupUnusable
from infra.whole_files import write_whole

FORMAT, VERSION = "mer catalogue", 1
ALEMBIC = "alembic_version"
_OURS = frozenset(Base.metadata.tables)
"""A database may hold tables of others; names of tables do not change."""
OF_THE_MOMENT = frozenset(table.__tablename__ for table in (RunProcess, TaskProcess, QueuedTask, ReviewClaim))
"""Tables whose rows mean something while their processes live: put back later, tasks of then would run again."""
_FIRST = frozenset(table.__tablename__ for table in (Corpus, Artifact, Model))
"""Tables of which one has a row in any catalogue that is not empty."""
ROWS_AT_ONCE = 1000
"""Rows written by one statement."""


def dump(connection: Connection, path: Path) -> int:
    """Write all rows as this transaction sees them to a file that is not there yet, for this user alone; returns how many.

    Raises:
        StoreFull, WriteFailed: it cannot be written; nothing is left then.
    """
    tables = [table for table in reflected(connection) if table.name not in OF_THE_MOMENT]
    revision = connection.execute(text(f"SELECT version_num FROM {ALEMBIC}")).scalar_one()
    header = {
        "format": FORMAT,
        "version": VERSION,
        "revision": revision,
        "tables": {table.name: [column.name for column in table.columns] for table in tables},
    }
    written = 0

    def fill(file: Path) -> None:
        nonlocal written
        digest = hashlib.sha256()
        with gzip.GzipFile(file, "wb", compresslevel=6, mtime=0) as sink:

            def write(value: Any) -> None:
                line = finite_json(value).encode() + b"\n"
                digest.update(line)
                sink.write(line)

            write(header)
            for table in tables:
                for row in connection.execute(select(table).execution_options(yield_per=ROWS_AT_ONCE)):
                    write([table.name, [_json(value) for value in row]])
                    written += 1
            write({"rows": written, "sha256": digest.hexdigest()})

    write_whole(path, fill, mode=0o600)
    return written


def check_dump(path: Path) -> dict[str, Any]:
    """Header of a dump whose every line is there as it was written. Raises BackupUnusable."""
    header: dict[str, Any] = {}
    for number, value in enumerate(lines(path)):
        if number == 0:
            header = value
    return header


def holds_something(path: Path) -> bool:
    """Whether anything was catalogued when a dump was written. Raises BackupUnusable."""
    return any(isinstance(value, list) and value[0] in _FIRST for value in lines(path))


def reflected(connection: Connection) -> list[Table]:
    """Tables of the catalogue as the database has them, those that others refer to first."""
    metadata = MetaData()
    names = [name for name in inspect(connection).get_table_names() if name != ALEMBIC]
    metadata.reflect(connection, only=[name for name in names if name in _OURS])
    for table in metadata.tables.values():
        for column in table.columns:
            if isinstance(column.type, JSON):
                column.type.none_as_null = True  # nothing is stored as NULL, not as JSON's null
    return list(metadata.sorted_tables)


def _json(value: Any) -> Any:
    if isinstance(value, datetime):
        return (value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)).isoformat()
    return value


def lines(path: Path) -> Iterator[Any]:
    """Every line but the last, once that is known to fit them all. Raises BackupUnusable at the end where it does not."""
    digest, previous, rows = hashlib.sha256(), None, 0
    try:
        with gzip.open(path, "rb") as source:
            for line in source:
                if previous is not None:
                    digest.update(previous)
                    value = json.loads(previous)
                    rows += isinstance(value, list)
                    yield value
                elif json.loads(line).get("format") != FORMAT or json.loads(line).get("version") != VERSION:
                    raise BackupUnusable(
                        f"{path} is no backup of a catalogue that this code knows: expected {FORMAT!r}, version {VERSION}"
                    )
                previous = line
        end = json.loads(previous or b"null")
    except (OSError, EOFError, zlib.error, ValueError, AttributeError) as error:
        raise BackupUnusable(
            f"the backup {path} is damaged ({error}): `mer restore FILE` takes another one"
        ) from error
    if not isinstance(end, dict) or (end.get("rows"), end.get("sha256")) != (rows, digest.hexdigest()):
        raise BackupUnusable(
            f"the backup {path} is damaged or cut short: `mer restore FILE` takes another one"
        )
