"""A dump of the catalogue read back (`infra.catalogue.dump`), and what every catalogue needs whose rows came from elsewhere."""

from __future__ import annotations

import secrets
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, DateTime, Integer, MetaData, Table, func, select, text

from infra.catalogue.database import Database
from infra.catalogue.dump import ALEMBIC, ROWS_AT_ONCE, check_dump, lines, reflected
from infra.catalogue.schema import alembic_config
from infra.errors import BackupUnusable

TOKENS_APART = 1 << 20
"""A fencing token of after a restore is so much higher at least: one that was given since the backup is not given again."""


def load(database: Database, path: Path) -> int:
    """Put the rows of a dump in the place of all that the database holds, in one transaction; returns how many.

    Every lease is free afterwards, and fencing tokens go on far above those of the dump.

    Raises:
        BackupUnusable: the dump is damaged or of a newer version; nothing was changed.
        CatalogueUnavailable: somebody holds the database.
    """
    from alembic import command
    from alembic.script import ScriptDirectory

    header = check_dump(path)
    config = alembic_config()
    known = {revision.revision for revision in ScriptDirectory.from_config(config).walk_revisions()}
    if header["revision"] not in known:
        raise BackupUnusable(
            f"the backup {path} has schema revision {header['revision']}, newer than this code: update it"
        )
    rows = 0
    with database.writing() as connection:
        clear(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, header["revision"])
        tables = {table.name: table for table in reflected(connection)}
        batch: list[dict[str, Any]] = []
        current = ""
        for value in lines(path):
            if not isinstance(value, list):
                continue
            name, values = value
            if batch and (name != current or len(batch) >= ROWS_AT_ONCE):
                connection.execute(tables[current].insert(), batch)
                batch = []
            current = name
            columns = header["tables"][name]
            batch.append(_row(tables[name], dict(zip(columns, values, strict=True))))
            rows += 1
        if batch:
            connection.execute(tables[current].insert(), batch)
        command.upgrade(config, "head")
        settle(connection)
    return rows


def clear(connection: Connection) -> None:
    """Drop every table of the catalogue."""
    for table in (*reversed(reflected(connection)), Table(ALEMBIC, MetaData())):
        connection.execute(text(f"DROP TABLE IF EXISTS {table.name}"))


def settle(connection: Connection) -> None:
    """After rows were written with their numbers: no lease is held, tokens are new ones, databases count on from the numbers."""
    connection.execute(text("UPDATE leases SET expires_at = 0"))
    seen = connection.execute(text("SELECT max(token) FROM leases")).scalar() or 0
    given = connection.execute(text("SELECT max(fencing_token) FROM promotions")).scalar() or 0
    floor = max(seen, given) + TOKENS_APART + secrets.randbelow(TOKENS_APART)
    connection.execute(text("DELETE FROM leases WHERE name = 'tokens'"))
    connection.execute(
        text(
            "INSERT INTO leases (name, holder, token, expires_at, beat) VALUES ('tokens', 'restored', :floor, 0, 0)"
        ),
        {"floor": floor},
    )
    if connection.dialect.name != "postgresql":
        return
    for table in reflected(connection):
        keys = [column for column in table.primary_key if isinstance(column.type, Integer)]
        if len(table.primary_key) != 1 or not keys:
            continue
        sequence = connection.execute(
            text("SELECT pg_get_serial_sequence(:table, :column)"),
            {"table": table.name, "column": keys[0].name},
        ).scalar()
        if sequence is not None:
            highest = connection.execute(select(func.coalesce(func.max(keys[0]), 0))).scalar_one()
            connection.execute(
                text("SELECT setval(CAST(:sequence AS regclass), :next, false)"),
                {"sequence": sequence, "next": highest + 1},
            )


def _row(table: Table, values: dict[str, Any]) -> dict[str, Any]:
    return {name: _value(table.c[name].type, value) for name, value in values.items()}


def _value(kind: Any, value: Any) -> Any:
    return datetime.fromisoformat(value) if value is not None and isinstance(kind, DateTime) else value
