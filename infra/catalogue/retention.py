"""What the catalogue gives up when nobody uses it any more. Every method is one transaction that looks again before it deletes.

Audit rows (`promotions`) and the rows of versions stay for good: one row for each version that was ever registered.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    delete,
    exists,
    func,
    or_,
    select,
    text,
    union,
    update,
)

from infra.artifacts import ArtifactRef
from infra.catalogue.database import Database
from infra.catalogue.labels import GenerationState
from infra.catalogue.models import CHAMPION, audit_of, champion_history
from infra.catalogue.records import STORE_LOCK
from infra.catalogue.tables import (
    Artifact,
    Clip,
    ClipQuality,
    Feature,
    FeatureShard,
    Generation,
    GoldLabel,
    MediaFile,
    Model,
    ModelAlias,
    ModelVersion,
    PseudoLabel,
    RecognisedSpeech,
    Snapshot,
    SnapshotMember,
    Transcript,
)
from infra.catalogue.uses import last_use
from infra.catalogue.utc_time import utc_now

Version = tuple[str, int]
"""Name of a model and number of the version."""


class RetentionCatalogue:
    """Removal of rows, and of the artifacts that they record."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def referred_artifacts(self, versions: int, before: datetime) -> set[tuple[str, str]]:
        """(kind, key) of every artifact that is kept whenever it was used: those of kept versions, and of generations that are
        trained on or wait for somebody.

        Args:
            versions: champions of each model that a rollback must reach, the present one included.
            before: versions made since are kept.
        """
        states = (GenerationState.REJECTED.value, GenerationState.RELEASED.value)
        with self._database.reading() as connection:
            kept = _kept_versions(connection, versions, before)
            refs: list[Mapping[str, Any] | None] = []
            for row in connection.execute(select(ModelVersion.__table__)):
                if (row.name, row.version) in kept:
                    refs += [row.artifact, row.evaluation]
            query = select(Generation.artifact, Generation.selections).where(Generation.state.not_in(states))
            for artifact, selections in connection.execute(query):
                refs += [artifact, *(selections or {}).values()]
        return {(ref["kind"], ref["key"]) for ref in refs if ref is not None}

    def retire_versions(self, versions: int, before: datetime, *, dry_run: bool) -> int:
        """Give up the artifacts of versions that no rollback reaches; their rows and the audit stay. Returns how many."""
        with self._transaction(dry_run) as connection:
            kept = _kept_versions(connection, versions, before, lock=not dry_run)
            rows = connection.execute(
                select(ModelVersion.name, ModelVersion.version).where(ModelVersion.retired_at.is_(None))
            )
            gone = [(row.name, row.version) for row in rows if (row.name, row.version) not in kept]
            for name, version in gone if not dry_run else ():
                same = (ModelVersion.name == name) & (ModelVersion.version == version)
                values = {"retired_at": utc_now(), "snapshot_id": None}
                connection.execute(update(ModelVersion).where(same).values(values))
        return len(gone)

    def forget_artifact(
        self, kind: str, key: str, before: datetime | None, remove: Callable[[], None]
    ) -> bool:
        """Delete the row of an artifact, and of its shard's features, and what `remove` removes: all or, as far as a database can
        say, nothing. False, with nothing changed, if it was used since `before`.

        `before`: None: whenever it was used (its manifest is gone).
        """
        same = (Artifact.kind == kind) & (Artifact.key == key)
        with self._database.writing() as connection:
            unused = same if before is None else same & (last_use < before)
            if connection.execute(delete(Artifact).where(unused)).rowcount == 0:
                return False
            ids = select(FeatureShard.id).where(FeatureShard.artifact_key == key)
            connection.execute(delete(Feature).where(Feature.shard_id.in_(ids)))
            connection.execute(delete(FeatureShard).where(FeatureShard.artifact_key == key))
            remove()
        return True

    @contextmanager
    def store_kept_still(self) -> Iterator[dict[tuple[str, str], str]]:
        """No commit is recorded during the block; gives (kind, key) of all that are -> sha256 of their manifest."""
        with self._database.writing() as connection:
            if self._database.is_postgres:
                connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": STORE_LOCK})
            rows = connection.execute(select(Artifact.kind, Artifact.key, Artifact.sha256))
            yield {(row.kind, row.key): row.sha256 for row in rows}

    def remove_shards_without(self, is_there: Callable[[ArtifactRef], bool], *, dry_run: bool) -> int:
        """Forget registered shards whose manifest is gone and that no row records; returns how many."""
        recorded = exists().where(Artifact.key == FeatureShard.artifact_key)
        with self._transaction(dry_run) as connection:
            rows = connection.execute(select(FeatureShard.id, FeatureShard.artifact).where(~recorded)).all()
            gone = [row.id for row in rows if not is_there(ArtifactRef.model_validate(row.artifact))]
            for number in gone if not dry_run else ():
                connection.execute(delete(Feature).where(Feature.shard_id == number))
                connection.execute(delete(FeatureShard).where(FeatureShard.id == number))
        return len(gone)

    def remove_snapshots(self, before: datetime, *, dry_run: bool) -> int:
        """Delete snapshots that were not used since and that no kept version was trained on; each corpus' last one stays."""
        used = func.coalesce(Snapshot.used_at, Snapshot.created_at)
        needed = exists().where(ModelVersion.snapshot_id == Snapshot.id)
        with self._transaction(dry_run) as connection:
            newest = {
                row.corpus_id: row.id
                for row in connection.execute(select(Snapshot.corpus_id, Snapshot.id).order_by(used))
            }
            query = select(Snapshot.id).where(used < before, ~needed)
            gone = [number for number in connection.scalars(query) if number not in newest.values()]
            for number in gone if not dry_run else ():
                connection.execute(delete(SnapshotMember).where(SnapshotMember.snapshot_id == number))
                connection.execute(delete(Snapshot).where(Snapshot.id == number))
        return len(gone)

    def remove_rejected_generations(
        self, before: datetime, used: Collection[tuple[str, str]], *, dry_run: bool
    ) -> int:
        """Delete generations that did not help and whose selection is not `used` any more, with their labels."""
        state = Generation.state == GenerationState.REJECTED.value
        with self._transaction(dry_run) as connection:
            rows = connection.execute(
                select(Generation.id, Generation.artifact).where(state, Generation.created_at < before)
            ).all()
            gone = [row.id for row in rows if (row.artifact["kind"], row.artifact["key"]) not in used]
            for number in gone if not dry_run else ():
                connection.execute(delete(PseudoLabel).where(PseudoLabel.generation_id == number))
                connection.execute(delete(Generation).where(Generation.id == number))
        return len(gone)

    def remove_clips_without_file(self, *, dry_run: bool) -> int:
        """Delete clips whose file is gone, with what their corpus said of them, once no snapshot has them; returns how many."""
        listed = exists().where(MediaFile.corpus_id == Clip.corpus_id, MediaFile.name == Clip.name)
        frozen = exists().where(
            SnapshotMember.name == Clip.name,
            SnapshotMember.snapshot_id == Snapshot.id,
            # equal corpora share a snapshot, which is catalogued with the first of them
            or_(Snapshot.corpus_id == Clip.corpus_id, SnapshotMember.content == Clip.content),
        )
        with self._transaction(dry_run) as connection:
            rows = connection.execute(select(Clip.corpus_id, Clip.name).where(~listed, ~frozen)).all()
            for row in rows if not dry_run else ():
                for table in (GoldLabel, Transcript, Clip):
                    connection.execute(
                        delete(table).where(table.corpus_id == row.corpus_id, table.name == row.name)
                    )
        return len(rows)

    def remove_orphaned_contents(self, *, dry_run: bool) -> int:
        """Delete quality and recognised speech of contents that no clip and no snapshot has; returns the number of rows."""
        known = union(select(Clip.content), select(MediaFile.content), select(SnapshotMember.content))
        with self._transaction(dry_run) as connection:
            return sum(
                _removed(connection, table, table.content.not_in(known), dry_run)
                for table in (ClipQuality, RecognisedSpeech)
            )

    def _transaction(self, dry_run: bool) -> Any:
        return self._database.reading() if dry_run else self._database.writing()


def _removed(connection: Connection, table: Any, gone: ColumnElement[bool], dry_run: bool) -> int:
    if dry_run:
        return int(connection.scalar(select(func.count()).select_from(table).where(gone)) or 0)
    return connection.execute(delete(table).where(gone)).rowcount


def _kept_versions(
    connection: Connection, champions: int, before: datetime, *, lock: bool = False
) -> set[Version]:
    """Versions that an alias names, that rollbacks reach, that are young, and the newest of each model."""
    models: Select[Any] = select(Model.name).order_by(Model.name)
    kept: set[Version] = set()
    for name in connection.scalars(models.with_for_update() if lock else models).all():
        history = champion_history(audit_of(connection, name, CHAMPION))
        reachable = list(dict.fromkeys(reversed(history)))[:champions]
        aliased = connection.scalars(select(ModelAlias.version).where(ModelAlias.name == name)).all()
        rows = connection.execute(
            select(ModelVersion.version, ModelVersion.created_at)
            .where(ModelVersion.name == name)
            .order_by(ModelVersion.version)
        ).all()
        young = [row.version for row in rows if row.created_at >= before]
        newest = [rows[-1].version] if rows else []
        kept |= {(name, version) for version in (*reachable, *aliased, *young, *newest)}
    return kept
