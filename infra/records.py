"""Records: copies, in the object store, of rows of the catalogue that nothing else there tells.

A catalogue that is lost is made anew from them (`infra.rebuild`): which version of which model an artifact is, every change of an
alias, the data sets of versions, generations of pseudo-labels, decisions of reviewers, which feature set a shard is of. Each is
written behind the commit of its row, and again by `write_missing` where a process died between the two; the catalogue stays the
authority. Keys: `infra.objects.layout`.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from infra.artifacts import ArtifactRef
from infra.catalogue import (
    Catalogue,
    ClaimRow,
    GenerationFacts,
    GenerationRow,
    ModelVersionRow,
    PromotionRow,
    ReviewFacts,
    ReviewRow,
)
from infra.catalogue.database import Database, finite_json
from infra.errors import CatalogueIncomplete, InfraError, ObjectMissing
from infra.objects import ObjectStore
from infra.objects.interface import StoredObject
from infra.objects.layout import (
    AUDIT_RECORDS,
    GENERATION_RECORDS,
    MODEL_RECORDS,
    REVIEW_RECORDS,
    SHARD_RECORDS,
    SNAPSHOT_RECORDS,
    audit_record,
    generation_record,
    model_record,
    review_record,
    shard_record,
    snapshot_record,
)

logger = logging.getLogger(__name__)


class RecordingCatalogue(Catalogue):
    """The catalogue of a store: what must outlive it is written there too.

    A store that does not answer keeps no row from being committed: its record is written by the next start.
    """

    def __init__(self, database: Database, store: ObjectStore) -> None:
        super().__init__(database)
        self._store = store

    def add_model_version(self, name: str, artifact: ArtifactRef, **more: Any) -> int:
        """See `ModelCatalogue.add_model_version`."""
        version = super().add_model_version(name, artifact, **more)
        self._record(lambda store: _write_version(self, store, self.model_version(name, version)))
        return version

    def set_alias(self, name: str, alias: str, version: int, reason: str, **more: Any) -> PromotionRow:
        """See `ModelCatalogue.set_alias`."""
        return self._audited(super().set_alias(name, alias, version, reason, **more))

    def rollback(self, name: str, reason: str, **more: Any) -> PromotionRow:
        """See `ModelCatalogue.rollback`."""
        return self._audited(super().rollback(name, reason, **more))

    def request_approval(
        self, name: str, version: int, reason: str, *more: Any, **named: Any
    ) -> PromotionRow:
        """See `ApprovalCatalogue.request_approval`."""
        return self._audited(super().request_approval(name, version, reason, *more, **named))

    def approve(self, name: str, version: int, reason: str) -> PromotionRow:
        """See `ApprovalCatalogue.approve`."""
        return self._audited(super().approve(name, version, reason))

    def refuse(self, name: str, version: int, reason: str) -> PromotionRow:
        """See `ApprovalCatalogue.refuse`."""
        return self._audited(super().refuse(name, version, reason))

    def expire_approvals(self, name: str | None = None, now: datetime | None = None) -> list[PromotionRow]:
        """See `ApprovalCatalogue.expire_approvals`."""
        return [self._audited(row) for row in super().expire_approvals(name, now)]

    def register_features(self, feature_key: str, shard: ArtifactRef, contents: Any) -> None:
        """See `FeatureCatalogue.register_features`."""
        super().register_features(feature_key, shard, contents)
        self._record(lambda store: _write_shard(store, feature_key, shard))

    def forget_shard(self, shard: ArtifactRef) -> None:
        """See `FeatureCatalogue.forget_shard`."""
        keys = [key for key, known in self.feature_shards() if known.key == shard.key]
        super().forget_shard(shard)
        for key in keys:
            self._record(lambda store, key=key: store.delete(shard_record(key, shard.key)))

    def add_generation(self, facts: GenerationFacts, rows: Any, withheld: Any = frozenset()) -> GenerationRow:
        """See `LabelCatalogue.add_generation`."""
        return self._recorded(super().add_generation(facts, rows, withheld))

    def withdraw_generation(self, key: str, reason: str = "") -> GenerationRow:
        """See `LabelCatalogue.withdraw_generation`."""
        return self._recorded(super().withdraw_generation(key, reason))

    def restore_generation(self, key: str, reason: str = "") -> GenerationRow:
        """See `LabelCatalogue.restore_generation`."""
        return self._recorded(super().restore_generation(key, reason))

    def release_generation(self, key: str, reason: str = "") -> GenerationRow:
        """See `LabelCatalogue.release_generation`."""
        return self._recorded(super().release_generation(key, reason))

    def add_review(self, facts: ReviewFacts, token: str | None = None) -> ReviewRow:
        """See `ReviewCatalogue.add_review`."""
        row = super().add_review(facts, token)
        self._record(lambda store: _write_review(self, store, row))
        return row

    def undo_review(
        self, corpus: str, annotator: str, key: str, *more: Any, **named: Any
    ) -> tuple[ReviewRow, ClaimRow | None]:
        """See `ReviewCatalogue.undo_review`."""
        row, claim = super().undo_review(corpus, annotator, key, *more, **named)
        self._record(lambda store: _write_review(self, store, row))
        return row, claim

    def retire_versions(self, versions: int, before: datetime, *, dry_run: bool) -> int:
        """See `RetentionCatalogue.retire_versions`."""
        earlier = {(row.name, row.version) for row in self.model_versions() if row.retired_at is not None}
        count = super().retire_versions(versions, before, dry_run=dry_run)
        for row in self.model_versions() if count and not dry_run else ():
            if row.retired_at is not None and (row.name, row.version) not in earlier:
                self._record(lambda store, row=row: _write_version(self, store, row))
        return count

    def remove_rejected_generations(
        self, before: datetime, used: Collection[tuple[str, str]], *, dry_run: bool
    ) -> int:
        """See `RetentionCatalogue.remove_rejected_generations`."""
        earlier = {row.key for row in self.generations()}
        count = super().remove_rejected_generations(before, used, dry_run=dry_run)
        for key in earlier - {row.key for row in self.generations()} if count and not dry_run else ():
            self._record(lambda store, key=key: store.delete(generation_record(key)))
        return count

    def _audited(self, row: PromotionRow) -> PromotionRow:
        self._record(lambda store: _write(store, audit_record(row.id), asdict(row)))
        return row

    def _recorded(self, row: GenerationRow) -> GenerationRow:
        self._record(lambda store: _write_generation(self, store, row))
        return row

    def _record(self, write: Any) -> None:
        try:
            write(self._store)
        except InfraError as error:
            logger.warning("a record of the catalogue is written by the next start: %s", error)


def write_missing(catalogue: Catalogue, store: ObjectStore, current: dict[str, str] | None = None) -> int:
    """Write the records that are not there, and those of generations that stand elsewhere now; returns how many.

    Args:
        catalogue: what is recorded.
        store: where.
        current: generations whose record was found equal before -> row and object of then; brought up to date here. To compare a
            record all labels are written out, which is done again where row or object changed. None: all are compared.

    Raises StoreUnavailable, StoreFull, CatalogueUnavailable: what is missing stays so until the next start.
    """
    written = 0
    there = {
        key
        for prefix in (MODEL_RECORDS, AUDIT_RECORDS, SHARD_RECORDS, REVIEW_RECORDS)
        for key in store.keys(prefix)
    }
    versions = catalogue.model_versions()
    for version in versions:
        if model_record(version.name, version.version) not in there:
            written += _write_version(catalogue, store, version)
    for name in sorted({version.name for version in versions}):
        for row in catalogue.promotions(name, None):
            if audit_record(row.id) not in there:
                written += _write(store, audit_record(row.id), asdict(row))
    for feature_key, shard in catalogue.feature_shards():
        if shard_record(feature_key, shard.key) not in there:
            written += _write_shard(store, feature_key, shard)
    for review in catalogue.reviews():
        if review_record(review.corpus, review.key) not in there:
            written += _write_review(catalogue, store, review)
    return written + _write_generations(catalogue, store, {} if current is None else current)


def _write_generations(catalogue: Catalogue, store: ObjectStore, current: dict[str, str]) -> int:
    written, before = 0, dict(current)
    current.clear()
    there = {item.key: item for item in store.listed(GENERATION_RECORDS)}
    for row in catalogue.generations():
        record = generation_record(row.key)
        stamp = _stamp(row, there.get(record))
        if stamp is None or before.get(record) != stamp:
            written += _write_generation(catalogue, store, row)
            stamp = _stamp(row, store.found(record))
        if stamp is not None:
            current[record] = stamp
    return written


def _stamp(row: GenerationRow, item: StoredObject | None) -> str | None:
    """The row, without its labels, which never change, and when and how long the record was written; None: there is none."""
    if item is None:
        return None
    text = finite_json(
        _plain({**asdict(row), "artifact": row.artifact.sha256, "selections": sorted(row.selections)})
    )
    return f"{hashlib.sha256(text.encode()).hexdigest()} {item.size} {item.modified!r}"


def require_known(catalogue: Catalogue, store: ObjectStore) -> None:
    """Refuse a catalogue that is older than its store: its next promotion would take the number of one that there was.

    Raises CatalogueIncomplete: says how many versions and promotions it lacks.
    """
    recorded = [
        {*store.keys(prefix)} for prefix in (MODEL_RECORDS, AUDIT_RECORDS, REVIEW_RECORDS)
    ]  # before the rows
    versions = catalogue.model_versions()
    names = {row.name for row in versions}
    known = (
        {model_record(row.name, row.version) for row in versions},
        {audit_record(row.id) for name in names for row in catalogue.promotions(name, None)},
        {review_record(row.corpus, row.key) for row in catalogue.reviews()} if recorded[2] else set(),
    )
    lacking = [len(there - here) for there, here in zip(recorded, known, strict=True)]
    if any(lacking):
        raise CatalogueIncomplete(
            f"the catalogue at {catalogue.database.shown_url} is older than its object store, which has records of {lacking[0]} "
            f"model versions, {lacking[1]} promotions and {lacking[2]} reviews more (an old backup, a lost `-wal` file): `mer "
            "rebuild` brings them back"
        )


def read_records(store: ObjectStore, prefix: str) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """(key, record) of every record below `prefix`, by key; None for one that is damaged."""
    for key in sorted(store.keys(prefix)):
        try:
            yield key, _read(store.get(key), key)
        except ObjectMissing:
            continue


def _write_version(catalogue: Catalogue, store: ObjectStore, row: ModelVersionRow) -> int:
    if row.snapshot_id is not None:
        _write_snapshot(catalogue, store, row.snapshot_id)
    values = {**asdict(row), "artifact": row.artifact.model_dump()}
    values["evaluation"] = None if row.evaluation is None else row.evaluation.model_dump()
    corpus = catalogue.corpus_of(row)
    shared = row.snapshot_id is not None and corpus != catalogue.first_corpus(row.snapshot_id)
    if shared and any(known.name == corpus for known in catalogue.corpora()):
        values["corpus"] = _corpus(catalogue, str(corpus))  # the record of its snapshot names an equal one
    return _write(store, model_record(row.name, row.version), values)


def _write_snapshot(catalogue: Catalogue, store: ObjectStore, snapshot: str) -> None:
    key = snapshot_record(snapshot)
    corpus = catalogue.first_corpus(snapshot)
    if corpus is None or store.exists(key):
        return
    members = [asdict(member) for member in catalogue.snapshot_members(snapshot)]
    _write(store, key, {"id": snapshot, "corpus": _corpus(catalogue, corpus), "members": members})


def _write_generation(catalogue: Catalogue, store: ObjectStore, row: GenerationRow) -> int:
    values = {
        **asdict(row),
        "corpus": _corpus(catalogue, row.corpus),
        "artifact": row.artifact.model_dump(),
        "selections": {view: ref.model_dump() for view, ref in row.selections.items()},
        "labels": [list(label) for label in catalogue.pseudo_labels(row.key)],
    }
    key = generation_record(row.key)
    data = _encoded(key, values)
    try:
        if store.get(key) == data:
            return 0
    except ObjectMissing:
        pass
    store.put(key, data)
    return 1


def _write_review(catalogue: Catalogue, store: ObjectStore, row: ReviewRow) -> int:
    values = {**asdict(row), "corpus": _corpus(catalogue, row.corpus)}
    return _write(store, review_record(row.corpus, row.key), values)


def _write_shard(store: ObjectStore, feature_key: str, shard: ArtifactRef) -> int:
    values = {"feature_key": feature_key, "artifact": shard.model_dump()}
    return _write(store, shard_record(feature_key, shard.key), values)


def _corpus(catalogue: Catalogue, name: str) -> dict[str, Any]:
    corpus = catalogue.corpus(name)
    return {
        "name": name,
        "root": str(corpus.root),
        "format": corpus.format,
        "emotions": list(corpus.emotions),
    }


def _write(store: ObjectStore, key: str, values: Mapping[str, Any]) -> int:
    store.put(key, _encoded(key, values))
    return 1


def _encoded(key: str, values: Mapping[str, Any]) -> bytes:
    """Canonical JSON with a checksum of itself: equal rows give equal bytes."""
    content = json.dumps(json.loads(finite_json(_plain(values))), sort_keys=True, separators=(",", ":"))
    checksum = hashlib.sha256(content.encode()).hexdigest()
    data = f'{{"checksum":"{checksum}","record":{content}}}\n'.encode()
    return gzip.compress(data, mtime=0) if key.endswith(".gz") else data


def _read(data: bytes, key: str) -> dict[str, Any] | None:
    try:
        text = gzip.decompress(data) if key.endswith(".gz") else data
        record = json.loads(text)["record"]
        content = json.dumps(record, sort_keys=True, separators=(",", ":"))
        checksum = json.loads(text)["checksum"]
    except (OSError, EOFError, zlib.error, ValueError, LookupError, TypeError, RecursionError):
        return None
    intact = isinstance(record, dict) and hashlib.sha256(content.encode()).hexdigest() == checksum
    return record if intact else None


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


__all__ = [
    "AUDIT_RECORDS",
    "GENERATION_RECORDS",
    "MODEL_RECORDS",
    "REVIEW_RECORDS",
    "SHARD_RECORDS",
    "SNAPSHOT_RECORDS",
    "RecordingCatalogue",
    "read_records",
    "require_known",
    "write_missing",
]
