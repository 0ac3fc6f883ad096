"""Two processes that open a catalogue at once: one brings its schema up to date, the other one writes nothing."""

from __future__ import annotations

import threading
import time

from alembic import command

from infra.catalogue import open_database
from infra.catalogue.backups import backups_in
from infra.catalogue.database import Database
from infra.catalogue.schema import alembic_config
from infra.settings import Settings


def test_who_waited_for_another_ones_migration_makes_no_backup_of_it(settings: Settings) -> None:
    """It would be of an empty catalogue, and the newest: `mer restore` would take it."""
    url = settings.database_url.get_secret_value()
    first = Database(url, 30.0, settings.backup_folder)
    second = threading.Thread(target=lambda: open_database(settings).close())
    with first.writing() as connection:
        second.start()
        time.sleep(0.5)  # it has seen a database without schema, and waits for the lock
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    second.join()
    first.close()
    assert backups_in(settings.backup_folder) == []
