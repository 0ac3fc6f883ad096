"""Which stage made which artifact, with which code: for lineage and clean-up, not for existence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select, text

from infra.artifacts import ArtifactRef
from infra.catalogue.bulk import upsert
from infra.catalogue.database import Database
from infra.catalogue.tables import Artifact
from infra.catalogue.utc_time import utc_now

STORE_LOCK = 0x73746F72
"""Number of the advisory lock that keeps the recording of commits and the removal of blobs apart on Postgres."""


@dataclass(frozen=True, kw_only=True)
class ArtifactRecord:
    """An artifact's origin."""

    ref: ArtifactRef
    stage: str
    code_version: str
    libraries: Mapping[str, str]
    """Distribution -> version of what computed it; empty where that was not recorded."""
    created_at: datetime


class ArtifactRecords:
    """Origins of artifacts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record_artifact(
        self, ref: ArtifactRef, stage: str, code_version: str, libraries: Mapping[str, str] | None = None
    ) -> None:
        """Remember where `ref` came from; a later one of the same kind and key replaces it."""
        row = {
            **ref.model_dump(),
            "stage": stage,
            "code_version": code_version,
            "libraries": dict(libraries or {}),
            "created_at": utc_now(),
            "used_at": None,
        }
        with self._database.writing() as connection:
            if (
                self._database.is_postgres
            ):  # whoever removes blobs holds it alone (`infra.catalogue.retention`)
                connection.execute(
                    text("SELECT pg_advisory_xact_lock_shared(:number)"), {"number": STORE_LOCK}
                )
            upsert(connection, Artifact, [row])

    def artifacts(self, stage: str | None = None) -> list[ArtifactRecord]:
        """Recorded artifacts (of one stage), oldest first."""
        query = select(Artifact.__table__).order_by(Artifact.created_at, Artifact.kind, Artifact.key)
        if stage is not None:
            query = query.where(Artifact.stage == stage)
        with self._database.reading() as connection:
            return [_record(row) for row in connection.execute(query)]

    def artifact_record(self, ref: ArtifactRef) -> ArtifactRecord | None:
        """Stage and code that made this artifact; None if that was never recorded."""
        query = select(Artifact.__table__).where(Artifact.kind == ref.kind, Artifact.key == ref.key)
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _record(row)


def _record(row: Row[Any]) -> ArtifactRecord:
    return ArtifactRecord(
        ref=ArtifactRef(kind=row.kind, key=row.key, sha256=row.sha256, meta=row.meta),
        stage=row.stage,
        code_version=row.code_version,
        libraries=row.libraries or {},
        created_at=row.created_at,
    )
