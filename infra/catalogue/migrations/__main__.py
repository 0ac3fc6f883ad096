"""`python -m infra.catalogue.migrations MESSAGE`: write the revision from the newest one to `tables.py`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory

from infra.catalogue.database import Database
from infra.catalogue.schema import alembic_config, migrate

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder) / 'scratch.db'}", timeout_seconds=5)
        config = alembic_config()
        number = len(list(ScriptDirectory.from_config(config).walk_revisions())) + 1
        if number > 1:
            migrate(database)
        with database.writing() as connection:
            config.attributes["connection"] = connection
            command.revision(
                config, message=" ".join(sys.argv[1:]), autogenerate=True, rev_id=f"{number:04d}"
            )
        database.close()
