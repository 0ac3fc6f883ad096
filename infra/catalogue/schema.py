"""Brings the schema to the newest revision when the catalogue is opened (Alembic, without its files)."""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from infra.catalogue.database import Database
from infra.errors import CatalogueError

_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 0x6D6572  # "mer", the number of the advisory lock


def alembic_config() -> Config:
    """Alembic's configuration without a file; also for writing new revisions."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def migrate(database: Database) -> None:
    """Upgrade to the newest revision; of several processes that open at once one does the work.

    Raises CatalogueError if the database is of a revision that this code does not know.
    """
    config = alembic_config()
    script = ScriptDirectory.from_config(config)
    head = script.get_current_head()
    with database.reading() as connection:
        if _revision(connection) == head:
            return
    with database.writing() as connection:
        if database.is_postgres:
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _MIGRATION_LOCK})
        current = _revision(connection)
        if current is not None and current not in {revision.revision for revision in script.walk_revisions()}:
            raise CatalogueError(
                f"the catalogue at {database.shown_url} has schema revision {current}, newer than this code "
                f"(which knows up to {head}): update the code"
            )
        if current is not None:
            _announce(script, current, database.shown_url)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _announce(script: ScriptDirectory, current: str, url: str) -> None:
    """Say what a revision's `notice` has to say before it is applied: what its change costs whoever opens the catalogue."""
    for revision in reversed(list(script.iterate_revisions("head", current))):
        if (notice := getattr(revision.module, "notice", None)) is not None:
            logging.getLogger(__name__).warning("the catalogue at %s is brought up to date: %s", url, notice)


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
