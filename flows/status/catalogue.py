"""Where the newest backup of the catalogue is."""

from __future__ import annotations

from collections.abc import Iterator

from rich.markup import escape

from infra.catalogue.backups import backups_in
from tasks.stage.workspace import Workspace


def catalogue(space: Workspace) -> Iterator[str]:
    """One line."""
    known = backups_in(space.settings.backup_folder)
    yield "backups of the catalogue: " + (
        f"{len(known)}, newest {escape(known[-1].path.name)}"
        if known
        else "none yet; the next run makes one, or `mer backup`"
    )
