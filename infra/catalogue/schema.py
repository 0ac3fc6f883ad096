"""Brings the schema to the newest revision when the catalogue is opened (Alembic, without its files).

Alembic is imported only where there is something to bring up to date: every command opens a catalogue.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from infra.catalogue.database import Database
from infra.errors import CatalogueError

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 0x6D6572  # "mer", the number of the advisory lock


def alembic_config() -> Config:
    """Alembic's configuration without a file; also for writing new revisions."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def migrate(database: Database) -> None:
    """Upgrade to the newest revision; of several processes that open at once one does the work.

    What was there before is backed up first, where the database has a folder for that.

    Raises CatalogueError if the database is of a revision that this code does not know.
    """
    with database.reading() as connection:
        if _revision(connection) == newest_revision():
            return
    from alembic import command
    from alembic.script import ScriptDirectory

    config = alembic_config()
    script = ScriptDirectory.from_config(config)
    head = script.get_current_head()
    with database.writing() as connection:
        if database.is_postgres:
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _MIGRATION_LOCK})
        current = _revision(connection)
        if current is not None and current not in {revision.revision for revision in script.walk_revisions()}:
            raise CatalogueError(
                f"the catalogue at {database.shown_url} has schema revision {current}, newer than this code "
                f"(which knows up to {head}): update the code"
            )
        if current == head:  # another process was faster while this one waited
            return
        if current is not None:
            _announce(script, current, database.shown_url)
            if database.backups is not None:
                from infra.catalogue.backing_up import back_up_within, forget_old

                back_up_within(connection, database.backups)
                forget_old(database.backups)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _announce(script: ScriptDirectory, current: str, url: str) -> None:
    """Say what a revision's `notice` has to say before it is applied: what its change costs whoever opens the catalogue."""
    for revision in reversed(list(script.iterate_revisions("head", current))):
        if (notice := getattr(revision.module, "notice", None)) is not None:
            logging.getLogger(__name__).warning("the catalogue at %s is brought up to date: %s", url, notice)


def newest_revision() -> str:
    """The revision that the newest file of migrations makes: their names begin with it, in order."""
    return max(path.name.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def _revision(connection: Connection) -> str | None:
    """What Alembic has noted in its table; None for a new database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision
