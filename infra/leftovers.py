"""What killed writers left below the home, removed by name and age.

`MER_HOME` may name a folder that holds other things: those are not looked at. Files that users name lie elsewhere: what is left
beside those goes at the next write of the same file (`write_whole`).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from infra.modes import is_ours
from infra.objects.bucket_address import CORPORA_FOLDER, STATE_FOLDER
from infra.settings import Settings
from infra.whole_files import LEFTOVER_SECONDS, is_temporary, swept

_OTHERS = ("prefect", "mlflow", "services/postgres", "services/s3", "objects/blobs", "objects/manifests")
"""Folders of the home that nothing here writes temporary files to: of servers, and of objects, which have a staging folder."""
_OF_EARLIER_VERSIONS = frozenset({"cache", "checkpoints", "failures", "services", "spool", "weights"})
"""Folders in which versions to 0.4.0 wrote temporary files, under names that others give as well."""


def sweep_home(settings: Settings, older_than_seconds: float = LEFTOVER_SECONDS) -> int:
    """Remove temporary files and folders that are older than that; returns how many."""
    return sum(swept(path, older_than_seconds) for path in list(_temporary(settings.home)))


def _temporary(home: Path) -> Iterator[Path]:
    others = {str(home / name) for name in _OTHERS}
    for entry in home.iterdir() if home.is_dir() else ():
        if is_temporary(entry.name):
            yield entry
        elif entry.is_dir() and not entry.is_symlink() and is_ours(entry):
            yield from _temporary_in(entry, others, earlier=entry.name in _OF_EARLIER_VERSIONS)


def _temporary_in(top: Path, others: Collection[str], *, earlier: bool) -> Iterator[Path]:
    copies = top / CORPORA_FOLDER  # of objects that others named
    for folder, folders, files in os.walk(top):
        named_by_us = earlier and (
            Path(folder) == copies / STATE_FOLDER or copies not in Path(folder, "x").parents
        )
        for name in (*folders, *files):
            if is_temporary(name) or (named_by_us and _is_of_earlier_version(name)):
                yield Path(folder, name)
        folders[:] = [
            name
            for name in folders
            if not is_temporary(name) and os.path.join(folder, name) not in others  # noqa: PTH118  # many
        ]


def _is_of_earlier_version(name: str) -> bool:
    """Names that versions to 0.4.0 gave to temporary files in the home."""
    return name.endswith(".partial") or (name.startswith(".") and name.endswith(".tmp"))
