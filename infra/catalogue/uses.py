"""When artifacts were used last: what retention goes by.

A stamp is renewed once a day, so that a run in which everything is found writes next to nothing. Whoever finds an artifact
stamps it *before* relying on it; whoever removes one deletes its row and its manifest in one transaction, and only while the
stamp is old (`infra.catalogue.retention`). So of the two one waits for the other, and `use_artifacts` says which artifacts to
look at again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select, update

from infra.artifacts import ArtifactRef
from infra.catalogue.bulk import upsert
from infra.catalogue.database import Database
from infra.catalogue.tables import Artifact
from infra.catalogue.utc_time import utc_now

STAMPED_EVERY = timedelta(days=1)
"""How old a stamp gets before a use renews it; one this far in the future (a clock that was set back) is renewed too."""
_MOST_NAMED = 500
"""Keys in one statement."""

last_use = func.coalesce(Artifact.used_at, Artifact.created_at)
"""Column: when an artifact was used last, or else made."""


class UseCatalogue:
    """Stamps of the artifacts' last use."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def use_artifacts(self, refs: Sequence[ArtifactRef]) -> list[ArtifactRef]:
        """Note that these artifacts are used now.

        Returns:
            Those that must be looked at again: their stamp was old or absent, so that they may have been removed meanwhile.
        """
        now = utc_now()
        with self._database.reading() as connection:
            stamps = _stamps(connection, refs)
        old = [ref for ref in refs if not _is_fresh(stamps.get((ref.kind, ref.key)), now)]
        if old:
            with self._database.writing() as connection:
                for ref in old:
                    same = (Artifact.kind == ref.kind) & (Artifact.key == ref.key)
                    if connection.execute(update(Artifact).where(same).values(used_at=now)).rowcount == 0:
                        _adopt(connection, [(ref, now)])
        return old

    def adopt_artifacts(self, found: Sequence[tuple[ArtifactRef, datetime]]) -> None:
        """Record artifacts that were committed by a process that was killed before it recorded them.

        Args:
            found: the artifact, and when it was written. One that is recorded stays as it is.
        """
        with self._database.writing() as connection:
            _adopt(connection, found)

    def artifact_uses(self) -> dict[tuple[str, str], datetime]:
        """(kind, key) of every recorded artifact -> its last use."""
        query = select(Artifact.kind, Artifact.key, Artifact.used_at, Artifact.created_at)
        with self._database.reading() as connection:
            return {(row.kind, row.key): row.used_at or row.created_at for row in connection.execute(query)}

    def artifact_manifests(self) -> dict[tuple[str, str], str]:
        """(kind, key) of every recorded artifact -> sha256 of its manifest."""
        with self._database.reading() as connection:
            rows = connection.execute(select(Artifact.kind, Artifact.key, Artifact.sha256))
            return {(row.kind, row.key): row.sha256 for row in rows}


def _adopt(connection: Connection, found: Sequence[tuple[ArtifactRef, datetime]]) -> None:
    rows = [
        {
            **ref.model_dump(), "stage": ref.kind, "code_version": "", "libraries": {}, "created_at": written,
            "used_at": written,
        }
        for ref, written in found
    ]  # fmt: skip
    upsert(connection, Artifact, rows, update=False)


def _stamps(connection: Connection, refs: Sequence[ArtifactRef]) -> dict[tuple[str, str], datetime]:
    stamps: dict[tuple[str, str], datetime] = {}
    columns = (Artifact.key, Artifact.used_at, Artifact.created_at)
    for kind in {ref.kind for ref in refs}:
        keys = [ref.key for ref in refs if ref.kind == kind]
        for first in range(0, len(keys), _MOST_NAMED):
            listed = Artifact.key.in_(keys[first : first + _MOST_NAMED])
            for row in connection.execute(select(*columns).where(Artifact.kind == kind, listed)):
                stamps[kind, row.key] = row.used_at or row.created_at
    return stamps


def _is_fresh(stamp: datetime | None, now: datetime) -> bool:
    return stamp is not None and abs(now - stamp) < STAMPED_EVERY
