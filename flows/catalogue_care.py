"""What keeps the catalogue safe without being asked: a backup a day, and the records that a dead process left unwritten."""

from __future__ import annotations

import json

from infra.catalogue import Catalogue, has_catalogue, open_database
from infra.catalogue.backing_up import back_up_daily
from infra.objects import open_store
from infra.records import write_missing
from infra.settings import Settings
from infra.store_identity import belong_together
from infra.whole_files import write_whole

_CURRENT = "records-of-generations.json"
"""File of the cache: a start takes no longer for the labels that there are."""


def back_up_once_a_day(settings: Settings) -> str | None:
    """A line where a backup was made."""
    if not has_catalogue(settings):
        return None
    with Catalogue(open_database(settings)) as catalogue:
        if catalogue.is_empty():
            return None
        path = back_up_daily(catalogue.database, settings.backup_folder)
    return None if path is None else f"backed up the catalogue: {path}"


def write_records(settings: Settings) -> str | None:
    """A line where the object store lacked records of the catalogue."""
    if not has_catalogue(settings):
        return None
    store = open_store(settings)
    with Catalogue(open_database(settings)) as catalogue:
        belong_together(catalogue, store, settings.object_store_url)
        before = _current_records(settings)
        current = dict(before)
        written = write_missing(catalogue, store, current)
    if current != before:
        write_whole(settings.cache_folder / _CURRENT, json.dumps(current, sort_keys=True).encode())
    return f"wrote {written} records of the catalogue that the object store lacked" if written else None


def _current_records(settings: Settings) -> dict[str, str]:
    """What `write_missing` found equal at earlier starts."""
    try:
        found = json.loads((settings.cache_folder / _CURRENT).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
