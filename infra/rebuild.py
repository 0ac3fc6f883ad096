"""A catalogue made anew from the object store: from its manifests, and from the records beside them (`infra.records`).

Everything is added that the catalogue lacks, in one transaction, so this also completes a catalogue that is older than its store.
Clips, labels, quarantine, measurements and recognised speech are not in the store: ingesting the corpora again brings clips and
labels back, and their features are found again by content, without any extraction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from infra.artifacts import ArtifactRef, ArtifactStore, Manifest
from infra.catalogue import Catalogue
from infra.catalogue.approvals import APPROVAL
from infra.catalogue.bulk import upsert
from infra.catalogue.loading import settle
from infra.catalogue.review_tables import Review
from infra.catalogue.tables import (
    Artifact,
    Corpus,
    Feature,
    FeatureShard,
    Generation,
    Model,
    ModelAlias,
    ModelVersion,
    Promotion,
    PseudoLabel,
    Snapshot,
    SnapshotMember,
)
from infra.catalogue.utc_time import utc_now
from infra.errors import ArtifactCorrupt, ArtifactMissing, ObjectMissing, StoreMismatch
from infra.objects import ObjectStore
from infra.objects.layout import (
    AUDIT_RECORDS,
    GENERATION_RECORDS,
    IDENTITY,
    MANIFESTS,
    MODEL_RECORDS,
    REVIEW_RECORDS,
    SHARD_RECORDS,
    SNAPSHOT_RECORDS,
)
from infra.records import read_records, write_missing
from infra.shown_address import shown_address
from infra.store_identity import identity_bytes, stored_identity

UNKNOWN = "unknown"
"""Code version of an artifact that the catalogue did not see being made."""
Contents = Callable[[ArtifactRef], Sequence[str]]
"""Contents whose features a shard holds; may raise what reading an artifact raises."""


@dataclass
class Rebuilt:
    """What was brought back, and what was not."""

    counts: dict[str, int] = field(default_factory=dict)
    """Rows by what they are."""
    losses: list[str] = field(default_factory=list)
    """Lines for people."""

    def count(self, name: str, number: int) -> None:
        """So many more of these."""
        self.counts[name] = self.counts.get(name, 0) + number


def rebuild(
    catalogue: Catalogue, store: ObjectStore, artifacts: ArtifactStore, address: str, contents: Contents
) -> Rebuilt:
    """Add to the catalogue what the store knows and it lacks, and make the two belong together.

    Args:
        catalogue: an empty one, or the store's own.
        store: the object store.
        artifacts: over the same store.
        address: of the store, for messages.
        contents: reads a feature shard's index.

    Raises:
        StoreMismatch: the catalogue holds something and belongs to another store.
        StoreUnavailable, CatalogueUnavailable: nothing was changed.
    """
    row, stored = catalogue.store_identity(), stored_identity(store, address)
    if not catalogue.is_empty() and (row is None or (row.is_in_store and row.identity != stored)):
        raise StoreMismatch(
            f"the catalogue at {catalogue.database.shown_url} is not empty and does not belong to the object store at "
            f"{shown_address(address)}: expected an empty one (MER_DATABASE_URL), or the store's own"
        )
    done = Rebuilt()
    manifests = _manifests(store, done)
    shards = _shards(store, manifests, contents, done)
    with catalogue.database.writing() as connection:
        _add_artifacts(connection, manifests, done)
        _add_snapshots(connection, store, done)
        _add_versions(connection, store, done)
        _add_audit(connection, store, done)
        _add_generations(connection, store, done)
        _add_reviews(connection, store, done)
        _add_shards(connection, shards, done)
        settle(connection)
    if stored is None:
        stored = catalogue.propose_identity(shown_address(address)).identity
        store.put(IDENTITY, identity_bytes(stored), if_absent=True)
        stored = stored_identity(store, address) or stored
    catalogue.replace_identity(stored, shown_address(address))
    write_missing(catalogue, store)
    packages = {(ref.kind, ref.key) for ref in manifests if ref.kind == "model"}
    known = {(version.artifact.kind, version.artifact.key) for version in catalogue.model_versions()}
    if nameless := len(packages - known):
        done.losses.append(
            f"{nameless} model packages have no record of the model and version that they were: the run that made them "
            "registers them again, without computing anything"
        )
    for version in catalogue.model_versions():
        for ref in (version.artifact, version.evaluation):
            if ref is not None and ref not in manifests and version.retired_at is None:
                done.losses.append(
                    f"{version.name} version {version.version}: its {ref.kind} is not in the store any more"
                )
    return done


def _manifests(store: ObjectStore, done: Rebuilt) -> dict[ArtifactRef, Manifest]:
    found: dict[ArtifactRef, Manifest] = {}
    damaged = 0
    for key in sorted(store.keys(MANIFESTS)):
        try:
            data = store.get(key)
            manifest = Manifest.from_bytes(data)
        except ObjectMissing:
            continue
        except ArtifactCorrupt:
            damaged += 1
            continue
        sha256 = hashlib.sha256(data).hexdigest()
        found[ArtifactRef(kind=manifest.kind, key=manifest.key, sha256=sha256, meta=manifest.meta)] = manifest
    if damaged:
        done.losses.append(
            f"{damaged} damaged manifests: what they stood for is computed again when it is needed"
        )
    return found


def _records(store: ObjectStore, prefix: str, done: Rebuilt) -> list[dict[str, Any]]:
    records = []
    for key, record in read_records(store, prefix):
        if record is None:
            done.losses.append(f"damaged record {key}")
        else:
            records.append(record)
    return records


def _shards(
    store: ObjectStore, manifests: Mapping[ArtifactRef, Manifest], contents: Contents, done: Rebuilt
) -> list[tuple[str, ArtifactRef, Sequence[str]]]:
    shards, recorded = [], set()
    for record in _records(store, SHARD_RECORDS, done):
        ref = ArtifactRef.model_validate(record["artifact"])
        recorded.add(ref)
        if ref not in manifests:
            continue  # it was forgotten, and its record not
        try:
            shards.append((str(record["feature_key"]), ref, contents(ref)))
        except (ArtifactCorrupt, ArtifactMissing) as error:
            done.losses.append(f"feature shard {ref.key[:12]}: {error}")
    if unnamed := sum(ref.kind == "features" and ref not in recorded for ref in manifests):
        done.losses.append(
            f"{unnamed} feature shards have no record of their feature set: a run over the same clips finds them again by its key"
        )
    return shards


def _add_artifacts(connection: Connection, manifests: Mapping[ArtifactRef, Manifest], done: Rebuilt) -> None:
    known = {(row.kind, row.key) for row in connection.execute(select(Artifact.kind, Artifact.key))}
    rows = [
        {
            **ref.model_dump(),
            "stage": ref.kind,
            "code_version": UNKNOWN,
            "libraries": None,
            "created_at": utc_now(),
            "used_at": utc_now(),
        }
        for ref in manifests
        if (ref.kind, ref.key) not in known
    ]
    upsert(connection, Artifact, rows, update=False)
    done.count("artifacts", len(rows))
    if rows:
        done.losses.append(
            f"of {len(rows)} artifacts it is not known any more which code and libraries made them (results are the same)"
        )


def _corpus_number(connection: Connection, corpus: Mapping[str, Any], done: Rebuilt) -> int:
    number = connection.scalar(select(Corpus.id).where(Corpus.name == corpus["name"]))
    if number is not None:
        return number
    done.count("corpora", 1)
    done.losses.append(
        f"corpus {corpus['name']}: its clips, labels and quarantined files; `mer ingest --corpus {corpus['root']} --name "
        f"{corpus['name']}` (or the next run) brings them back, and no feature is extracted again"
    )
    values = {key: corpus[key] for key in ("name", "root", "format", "emotions")}
    return connection.execute(
        insert(Corpus).values(created_at=utc_now(), **values).returning(Corpus.id)
    ).scalar_one()


def _add_snapshots(connection: Connection, store: ObjectStore, done: Rebuilt) -> None:
    known = set(connection.scalars(select(Snapshot.id)))
    for record in _records(store, SNAPSHOT_RECORDS, done):
        number = _corpus_number(connection, record["corpus"], done)
        if record["id"] in known:
            continue
        members = record["members"]
        header = {
            "id": record["id"],
            "corpus_id": number,
            "clip_count": len(members),
            "labelled_count": sum(member["emotion"] is not None for member in members),
            "created_at": utc_now(),
            "used_at": utc_now(),
        }
        upsert(connection, Snapshot, [header], update=False)
        rows = [{"snapshot_id": record["id"], **member} for member in members]
        upsert(connection, SnapshotMember, rows, update=False)
        done.count("data sets", 1)


def _add_versions(connection: Connection, store: ObjectStore, done: Rebuilt) -> None:
    known = {
        (row.name, row.version) for row in connection.execute(select(ModelVersion.name, ModelVersion.version))
    }
    snapshots = set(connection.scalars(select(Snapshot.id)))
    for record in _records(store, MODEL_RECORDS, done):
        name, version = record["name"], record["version"]
        if (name, version) in known:
            continue
        upsert(connection, Model, [{"name": name, "latest_version": 0}], update=False)
        if record["snapshot_id"] is not None and record["snapshot_id"] not in snapshots:
            done.losses.append(f"{name} version {version}: the data set that it was trained on")
            record["snapshot_id"] = None
        if (corpus := record.pop("corpus", None)) is not None:
            _corpus_number(connection, corpus, done)
        values = {
            **record,
            "created_at": datetime.fromisoformat(record["created_at"]),
            "retired_at": record.get("retired_at") and datetime.fromisoformat(record["retired_at"]),
        }
        connection.execute(insert(ModelVersion).values(values))
        done.count("model versions", 1)
    highest = select(ModelVersion.name, func.max(ModelVersion.version)).group_by(ModelVersion.name)
    for name, version in connection.execute(highest).all():
        behind = (Model.name == name) & (Model.latest_version < version)
        connection.execute(update(Model).where(behind).values(latest_version=version))


def _add_audit(connection: Connection, store: ObjectStore, done: Rebuilt) -> None:
    known = set(connection.scalars(select(Promotion.id)))
    versions = {
        (row.name, row.version) for row in connection.execute(select(ModelVersion.name, ModelVersion.version))
    }
    for record in _records(store, AUDIT_RECORDS, done):
        if record["id"] in known:
            continue
        if (record["name"], record["version"]) not in versions:
            done.losses.append(
                f"promotion {record['id']} of {record['name']}: there is no record of version {record['version']}"
            )
            continue
        values = {
            **record,
            "created_at": datetime.fromisoformat(record["created_at"]),
            "expires_at": record.get("expires_at") and datetime.fromisoformat(record["expires_at"]),
        }
        connection.execute(insert(Promotion).values(values))
        done.count("promotions", 1)
    points = Promotion.alias != APPROVAL
    newest = select(func.max(Promotion.id)).where(points).group_by(Promotion.name, Promotion.alias)
    last = select(Promotion.name, Promotion.alias, Promotion.version).where(Promotion.id.in_(newest))
    rows = [dict(row) for row in connection.execute(last).mappings()]
    upsert(connection, ModelAlias, rows)


def _add_generations(connection: Connection, store: ObjectStore, done: Rebuilt) -> None:
    known = set(connection.scalars(select(Generation.key)))
    records = [record for record in _records(store, GENERATION_RECORDS, done) if record["key"] not in known]
    for record in sorted(records, key=lambda item: int(item["number"])):
        labels = record.pop("labels")
        number = _corpus_number(connection, record.pop("corpus"), done)
        values = {
            **record,
            "id": record.pop("number"),
            "corpus_id": number,
            "created_at": datetime.fromisoformat(record["created_at"]),
            "withdrawn_at": record["withdrawn_at"] and datetime.fromisoformat(record["withdrawn_at"]),
        }
        values.pop("number", None)
        connection.execute(insert(Generation).values(values))
        names = ("name", "content", "emotion", "confidence", "valence")
        rows = [{"generation_id": values["id"], **dict(zip(names, label, strict=True))} for label in labels]
        upsert(connection, PseudoLabel, rows, update=False)
        done.count("generations of pseudo-labels", 1)


def _add_reviews(connection: Connection, store: ObjectStore, done: Rebuilt) -> None:
    known = set(connection.scalars(select(Review.key)))
    for record in _records(store, REVIEW_RECORDS, done):
        if record["key"] in known:
            continue
        number = _corpus_number(connection, record.pop("corpus"), done)
        values = {**record, "corpus_id": number, "created_at": datetime.fromisoformat(record["created_at"])}
        connection.execute(insert(Review).values(values))
        done.count("reviews", 1)


def _add_shards(
    connection: Connection, shards: Sequence[tuple[str, ArtifactRef, Sequence[str]]], done: Rebuilt
) -> None:
    known = {
        (row.feature_key, row.artifact_key)
        for row in connection.execute(select(FeatureShard.feature_key, FeatureShard.artifact_key))
    }
    for feature_key, ref, contents in shards:
        if (feature_key, ref.key) in known:
            continue
        values = {"feature_key": feature_key, "artifact_key": ref.key, "artifact": ref.model_dump()}
        number = connection.execute(
            insert(FeatureShard).values(values).returning(FeatureShard.id)
        ).scalar_one()
        rows = [{"feature_key": feature_key, "content": content, "shard_id": number} for content in contents]
        upsert(connection, Feature, rows, update=False)
        done.count("feature shards", 1)
        done.count("features", len(rows))
