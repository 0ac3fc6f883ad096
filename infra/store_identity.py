"""A catalogue belongs to one object store, and the store to it: both hold the same random identity, compared at every opening.

A catalogue beside another store would take every artifact that is not there for lost, and forget it; two catalogues over one
store would each remove what the other one needs. The identity is made with the catalogue's row first, then the store's object is
created if absent, then the row says that it was: a process that dies in between is followed by one that goes on, and of two
catalogues that want one store at once, one gets it. It travels with a folder that is moved and with a bucket that is copied.
"""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote, urlsplit

from infra.catalogue import Catalogue, StoreIdentityRow
from infra.catalogue.database import Database
from infra.errors import CatalogueIncomplete, ObjectMissing, StoreMismatch
from infra.objects import ObjectStore, unprepared_store
from infra.objects.layout import IDENTITY, MANIFESTS
from infra.records import require_known, write_missing
from infra.settings import Settings
from infra.shown_address import shown_address

_SHOWN = 8
"""Characters of an identity in a message."""
_ADOPT = (
    "name the store of this catalogue in MER_OBJECT_STORE_URL or the catalogue of this store in MER_DATABASE_URL; if the store "
    "was copied or moved on purpose, `mer adopt` makes it this catalogue's"
)


def belong_together(catalogue: Catalogue, store: ObjectStore, address: str) -> None:
    """See that these two belong together; two that never met become a pair.

    Args:
        catalogue: opened.
        store: opened.
        address: of the store, for messages.

    Raises:
        StoreMismatch: one of them belongs to another.
        CatalogueIncomplete: the catalogue is empty and the store is not, or it knows less than the store.
    """
    row, stored = catalogue.store_identity(), stored_identity(store, address)
    if row is None and stored is not None:
        row = catalogue.store_identity()  # another process may have paired them between the two reads
        if row is None:
            raise _empty(catalogue, address) if catalogue.is_empty() else _of_another(catalogue, address)
    if row is None:
        if catalogue.is_empty() and next(store.keys(MANIFESTS), None) is not None:
            raise _empty(catalogue, address)
        row = catalogue.propose_identity(shown_address(address))
        stored = stored_identity(store, address)
    if not row.is_in_store:
        if stored is None:
            store.put(IDENTITY, identity_bytes(row.identity), if_absent=True)
            stored = stored_identity(store, address)
        if stored == row.identity:
            write_missing(catalogue, store)
            catalogue.confirm_identity()
    if stored != row.identity:
        raise _mismatch(catalogue, row, stored, address)
    require_known(catalogue, store)


def stored_identity(store: ObjectStore, address: str) -> str | None:
    """The identity that the store holds; None: none.

    Raises StoreMismatch: there is something else under its key.
    """
    try:
        data = store.get(IDENTITY)
    except ObjectMissing:
        return None
    try:
        identity = json.loads(data)["identity"]
    except (ValueError, LookupError, TypeError):
        identity = None
    if not isinstance(identity, str) or not identity:
        raise StoreMismatch(
            f"the object store at {shown_address(address)}: expected its identity in {IDENTITY}, found {data[:40]!r}: "
            "`mer adopt --anyway` writes that of this catalogue"
        )
    return identity


def identity_bytes(identity: str) -> bytes:
    """Content of the store's object."""
    return json.dumps({"identity": identity, "version": 1}, sort_keys=True).encode() + b"\n"


def require_unused(settings: Settings) -> None:
    """See, where there is no catalogue yet, that its object store holds nothing either; makes nothing.

    Raises:
        CatalogueIncomplete: it does: the catalogue was lost.
        StoreUnavailable, SettingsError: it cannot be asked.
    """
    parts = urlsplit(settings.object_store_url)
    if parts.scheme == "file":
        root = Path(unquote(parts.path))
        used = (root / IDENTITY).exists() or any((root / MANIFESTS).glob("*/*"))
    else:
        used = any(True for prefix in (IDENTITY, MANIFESTS) for _ in unprepared_store(settings).keys(prefix))
    if used:
        database = Database(settings.database_url.get_secret_value(), 1.0, settings.backup_folder)
        raise _lost(database, "is gone", settings.object_store_url)


def _empty(catalogue: Catalogue, address: str) -> CatalogueIncomplete:
    return _lost(catalogue.database, "is empty", address)


def _lost(database: Database, state: str, address: str) -> CatalogueIncomplete:
    return CatalogueIncomplete(
        f"the catalogue at {database.shown_url} {state}, and the object store at {shown_address(address)} is not: its catalogue "
        "was lost or is another one (MER_DATABASE_URL). `mer restore` puts the newest backup back"
        f"{database.newest_backup_text()}, `mer rebuild` makes the catalogue anew from the store"
    )


def _of_another(catalogue: Catalogue, address: str) -> StoreMismatch:
    return StoreMismatch(
        f"the object store at {shown_address(address)} belongs to another catalogue than the one at "
        f"{catalogue.database.shown_url}: {_ADOPT}"
    )


def _mismatch(
    catalogue: Catalogue, row: StoreIdentityRow, stored: str | None, address: str
) -> StoreMismatch | CatalogueIncomplete:
    if not row.is_in_store:
        return _empty(catalogue, address) if catalogue.is_empty() else _of_another(catalogue, address)
    found = "which has no identity (an empty or another one)" if stored is None else f"{stored[:_SHOWN]}..."
    return StoreMismatch(
        f"the catalogue at {catalogue.database.shown_url} belongs to the object store {row.identity[:_SHOWN]}... (at "
        f"{row.address} when they met), found at {shown_address(address)}: {found}; {_ADOPT}"
    )
