"""Many rows at once: `INSERT ... ON CONFLICT` on SQLite, COPY into a temporary table on Postgres."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Table

from infra.catalogue.tables import Base

COPY_FROM_ROWS = 50
"""Below this a plain statement is faster than a temporary table."""
MOST_NAMED = 4096
"""Rows that a statement names one by one (databases limit its parameters); of more all are read, or in several statements."""
Value = TypeVar("Value", str, int)


def upsert(
    connection: Connection, model: type[Base], rows: Sequence[Mapping[str, Any]], *, update: bool = True
) -> None:
    """Insert `rows` (same columns each); a row whose primary key exists is overwritten (`update`) or kept.

    Of several rows with one primary key the first counts.
    """
    table = cast(Table, model.__table__)
    keys = [column.name for column in table.primary_key]
    unique = _first_of_each_key(rows, keys)
    if not unique:
        return
    columns = list(unique[0])
    converted = _driver_values(connection, table, columns, unique)
    changed = [name for name in columns if name not in keys] if update else []
    # Every identifier in the statements comes from our own table definitions, never from data.
    assigned = ", ".join(f"{name} = excluded.{name}" for name in changed)
    action = f"UPDATE SET {assigned}" if assigned else "NOTHING"
    into, conflict = (
        f"INSERT INTO {table.name} ({', '.join(columns)})",
        f"ON CONFLICT ({', '.join(keys)}) DO {action}",
    )
    if connection.dialect.name == "postgresql" and len(unique) >= COPY_FROM_ROWS:
        staged = f"staged_{table.name}"
        _copy_to_temporary(connection, table.name, staged, columns, converted)
        connection.exec_driver_sql(f"{into} SELECT {', '.join(columns)} FROM {staged} {conflict}")
        connection.exec_driver_sql(f"DROP TABLE {staged}")
    else:
        mark = "%s" if connection.dialect.name == "postgresql" else "?"
        statement = f"{into} VALUES ({', '.join([mark] * len(columns))}) {conflict}"
        connection.exec_driver_sql(statement, list(converted))


def in_parts(values: Iterable[Value], size: int = MOST_NAMED) -> Iterator[list[Value]]:
    """Sorted values, in parts that one statement can name each of; text that no database holds is in no row, and is left out."""
    listed = sorted({value for value in values if not isinstance(value, str) or _is_storable(value)})
    for first in range(0, len(listed), size):
        yield listed[first : first + size]


def _is_storable(text: str) -> bool:
    """Whether it is without NUL and lone surrogates, with which Postgres' driver fails."""
    if "\x00" in text:
        return False
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _first_of_each_key(rows: Iterable[Mapping[str, Any]], keys: Sequence[str]) -> list[Mapping[str, Any]]:
    first: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for row in rows:
        first.setdefault(tuple(row[key] for key in keys), row)
    return [first[key] for key in sorted(first)]  # one order for all writers: no deadlocks on Postgres


def _driver_values(
    connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]
) -> Iterable[tuple[Any, ...]]:
    """Rows as tuples of what the driver takes (JSON as text, times as the database wants them)."""
    dialect = connection.dialect
    converters: list[Callable[[Any], Any]] = [
        table.c[name].type.dialect_impl(dialect).bind_processor(dialect) or _unchanged for name in columns
    ]
    pairs = list(zip(columns, converters, strict=True))
    return (tuple([convert(row[name]) for name, convert in pairs]) for row in rows)


def _unchanged(value: Any) -> Any:
    return value


def _copy_to_temporary(
    connection: Connection, table: str, staged: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]
) -> None:
    listed = ", ".join(columns)
    connection.exec_driver_sql(
        f"CREATE TEMPORARY TABLE {staged} ON COMMIT DROP AS SELECT {listed} FROM {table} LIMIT 0"
    )
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {staged} ({listed}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
