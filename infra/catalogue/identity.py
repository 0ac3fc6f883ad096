"""Which object store the catalogue belongs to: see `infra.store_identity`."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from sqlalchemy import delete, func, select, update

from infra.catalogue.bulk import upsert
from infra.catalogue.database import Database
from infra.catalogue.tables import Artifact, Corpus, Model, StoreIdentity

_ONLY = 1
"""Number of the one row."""


@dataclass(frozen=True, kw_only=True)
class StoreIdentityRow:
    """The store as the catalogue knows it."""

    identity: str
    address: str
    """Where it was when the two met."""
    is_in_store: bool
    """Whether the store's object is known to be written."""


class IdentityCatalogue:
    """The store's identity."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def store_identity(self) -> StoreIdentityRow | None:
        """The store that this catalogue belongs to; None: it was never opened with one."""
        columns = (StoreIdentity.identity, StoreIdentity.address, StoreIdentity.is_in_store)
        with self._database.reading() as connection:
            row = connection.execute(select(*columns)).mappings().first()
        return None if row is None else StoreIdentityRow(**row)

    def propose_identity(self, address: str) -> StoreIdentityRow:
        """Make an identity up, unless there is one; of several processes one does."""
        row = {"number": _ONLY, "identity": uuid.uuid4().hex, "address": address, "is_in_store": False}
        with self._database.writing() as connection:
            upsert(connection, StoreIdentity, [row], update=False)
        stored = self.store_identity()
        assert stored is not None  # written, or there before
        return stored

    def confirm_identity(self) -> None:
        """The store has it now."""
        with self._database.writing() as connection:
            connection.execute(update(StoreIdentity).values(is_in_store=True))

    def replace_identity(self, identity: str, address: str) -> None:
        """Belong to the store of this identity from now on."""
        row = {"number": _ONLY, "identity": identity, "address": address, "is_in_store": True}
        with self._database.writing() as connection:
            connection.execute(delete(StoreIdentity))
            upsert(connection, StoreIdentity, [row])

    def is_empty(self) -> bool:
        """True where nothing was ever catalogued."""
        with self._database.reading() as connection:
            return not any(
                connection.scalar(select(func.count()).select_from(table))
                for table in (Corpus, Artifact, Model)
            )
