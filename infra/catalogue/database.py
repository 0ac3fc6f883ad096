"""The connection: one engine, explicit reading and writing transactions, driver errors turned into ours."""

from __future__ import annotations

import json
import math
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from infra.catalogue.backups import backups_in
from infra.catalogue.damage import is_damage
from infra.errors import (
    CatalogueDamaged,
    CatalogueError,
    CatalogueUnavailable,
    HomeUnusable,
    SettingsError,
    StoreFull,
)
from infra.shown_address import shown_address
from infra.sqlite_url import sqlite_file

_LEAST_BYTES = 64 << 10
"""A disk with less space than this is full: SQLite writes pages, and a journal of them."""


class Database:
    """An engine and its two kinds of transactions."""

    def __init__(self, url: str, timeout_seconds: float, backups: Path | None = None) -> None:
        """`timeout_seconds`: longest wait for a lock or a connection; `backups`: the folder of backups, for messages."""
        self._url = parse_url(url)
        self._timeout_seconds = timeout_seconds
        self.backups = backups
        self.is_postgres = self._url.get_backend_name() == "postgresql"
        self.engine = self._create_engine()
        self._writer = self.engine.execution_options(mer_writes=True)

    @property
    def shown_url(self) -> str:
        """The address without its secrets."""
        return shown_address(self._url.render_as_string(hide_password=False))

    @property
    def file(self) -> Path | None:
        """The file of an SQLite database."""
        return sqlite_file(self._url)

    def newest_backup_text(self) -> str:
        """` (PATH)` of the newest backup, or that there is none."""
        known = backups_in(self.backups) if self.backups is not None else []
        return f" ({known[-1].path})" if known else " (there is none in the home)"

    def damaged(self, cause: str) -> CatalogueDamaged:
        """The error for a database that cannot be read as a catalogue."""
        return CatalogueDamaged(
            f"the catalogue at {self.shown_url} is damaged: {cause}. `mer restore` puts the newest backup back"
            f"{self.newest_backup_text()}, `mer rebuild` makes the catalogue anew from the object store; both set aside what is "
            "there now"
        )

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the catalogue."""
        with self._translated(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that commits completely or not at all.

        On SQLite it takes the write lock at its beginning: two that both read before they write would
        otherwise deadlock.
        """
        with self._translated(), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()

    def _create_engine(self) -> Engine:
        if self.is_postgres:
            milliseconds = int(self._timeout_seconds * 1000)
            return create_engine(
                self._url,
                pool_pre_ping=True,
                pool_timeout=self._timeout_seconds,
                json_serializer=finite_json,
                connect_args={
                    "connect_timeout": max(2, int(self._timeout_seconds)),
                    "options": f"-c lock_timeout={milliseconds} -c timezone=UTC",
                },
            )
        if self.file is not None:
            self._prepare(self.file)
        engine = create_engine(
            self._url, connect_args={"timeout": self._timeout_seconds}, json_serializer=finite_json
        )
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    def _is_full(self) -> bool:
        """Whether the disk of an SQLite file is full, which SQLite may call an I/O error."""
        if self.file is None:
            return False
        try:
            space = os.statvfs(self.file.parent)
        except OSError:
            return False
        return space.f_bavail * space.f_frsize < _LEAST_BYTES

    def _prepare(self, file: Path) -> None:
        """Make the file's folder, and refuse what cannot be a database or cannot be written."""
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CatalogueUnavailable(f"cannot create the folder of {self.shown_url}: {error}") from error
        if file.exists() and not file.is_file():
            raise self.damaged("expected a file, found something else (a folder?)")
        for path in (file if file.exists() else file.parent, file.parent):
            if not os.access(path, os.R_OK | os.W_OK):
                raise HomeUnusable(
                    f"the catalogue at {self.shown_url}: this user may not read and write {path}; give it these permissions, or "
                    "set MER_HOME to a home of this user"
                )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, sqlite3.Error, ValueError) as error:
            if is_damage(error):
                raise self.damaged(_cause(error)) from error
            with self._explained():
                raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, InterfaceError, PoolTimeoutError) as error:
            if _says_full(str(error)) or ("locked" not in str(error) and self._is_full()):
                raise StoreFull(self.shown_url, None) from error
            raise CatalogueUnavailable(
                f"the catalogue at {self.shown_url} does not answer: {_cause(error)}"
            ) from error
        except IntegrityError as error:
            raise CatalogueError(f"a row contradicts the catalogue: {_cause(error)}") from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise CatalogueUnavailable(
                    f"the catalogue at {self.shown_url} broke off: {_cause(error)}"
                ) from error
            raise


def _says_full(message: str) -> bool:
    return "disk is full" in message or "No space left" in message


def parse_url(url: str) -> URL:
    """SQLAlchemy URL of a supported database; `postgresql://` means psycopg 3."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # their texts show the URL, or what stands at the place of its port
        raise SettingsError(
            "the database URL cannot be read: expected sqlite:///PATH or postgresql://USER:PASSWORD@HOST:PORT/DB, with %XX for "
            "special characters of the password"
        ) from None
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in ("postgresql+psycopg", "sqlite"):
        raise SettingsError(
            f"MER_DATABASE_URL: expected an address sqlite:///... or postgresql://..., found scheme {parsed.drivername!r}"
        )
    if parsed.drivername == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise SettingsError(
            "expected a database file: an SQLite database in memory is lost with its connection"
        )
    return parsed


def finite_json(value: Any) -> str:
    """JSON with null for NaN and infinities, which it lacks (a class without clips has no recall)."""
    return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _configure_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # no implicit BEGIN by the driver: `_begin_sqlite` says when
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA cache_size=-16000")  # 16 MB: rows of a large corpus are not read again and again
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("mer_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _cause(error: Exception) -> str:
    """First line of the driver's message: without the statement and its parameters."""
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
