"""Many rows at once: `INSERT ... ON CONFLICT` on SQLite, COPY into a temporary table on Postgres."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Connection, Table, text
from sqlalchemy.dialects import postgresql, sqlite

from infra.catalogue.tables import Base

COPY_FROM_ROWS = 200
"""Below this a plain statement is faster than a temporary table."""


def upsert(
    connection: Connection, model: type[Base], rows: Sequence[Mapping[str, Any]], *, update: bool = True
) -> None:
    """Insert `rows` (same columns each); a row whose primary key exists is overwritten (`update`) or kept.

    Of several rows with one primary key the first counts.
    """
    table = cast(Table, model.__table__)
    unique = _first_of_each_key(rows, [column.name for column in table.primary_key])
    if not unique:
        return
    if connection.dialect.name == "postgresql" and len(unique) >= COPY_FROM_ROWS:
        _copy(connection, table, unique, update=update)
        return
    columns = list(unique[0])
    insert = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)
    keys = [column.name for column in table.primary_key]
    changed = {name: insert.excluded[name] for name in columns if name not in keys}
    if update and changed:
        statement = insert.on_conflict_do_update(index_elements=keys, set_=changed)
    else:
        statement = insert.on_conflict_do_nothing(index_elements=keys)
    connection.execute(statement, [dict(row) for row in unique])


def _first_of_each_key(rows: Iterable[Mapping[str, Any]], keys: Sequence[str]) -> list[Mapping[str, Any]]:
    first: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for row in rows:
        first.setdefault(tuple(row[key] for key in keys), row)
    return list(first.values())


def _copy(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *, update: bool) -> None:
    columns = list(rows[0])
    quote = connection.dialect.identifier_preparer.quote
    listed = ", ".join(quote(name) for name in columns)
    target, staged = quote(table.name), quote(f"staged_{table.name}")
    keys = [column.name for column in table.primary_key]
    changed = ", ".join(f"{quote(n)} = EXCLUDED.{quote(n)}" for n in columns if n not in keys)
    action = f"DO UPDATE SET {changed}" if update and changed else "DO NOTHING"
    # Every identifier below comes from our own table definitions, never from data.
    connection.execute(
        text(f"CREATE TEMPORARY TABLE {staged} ON COMMIT DROP AS SELECT {listed} FROM {target} LIMIT 0")
    )
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {staged} ({listed}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row([row[name] for name in columns])
    conflict = ", ".join(quote(name) for name in keys)
    connection.execute(
        text(
            f"INSERT INTO {target} ({listed}) SELECT {listed} FROM {staged} ON CONFLICT ({conflict}) {action}"
        )
    )
    connection.execute(text(f"DROP TABLE {staged}"))
