"""Data set snapshots: a list of clips with the labels they had, named by its own hash, and so shared by equal corpora."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update

from infra.catalogue.bulk import upsert
from infra.catalogue.clips import ClipRow
from infra.catalogue.corpora import corpus_id
from infra.catalogue.database import Database
from infra.catalogue.models import ModelVersionRow
from infra.catalogue.tables import Corpus, Snapshot, SnapshotMember
from infra.catalogue.utc_time import utc_now


@dataclass(frozen=True, kw_only=True)
class SnapshotRow:
    """A snapshot as catalogued."""

    id: str
    """sha256 (hex) over the members."""
    corpus: str
    """Of which it was taken now."""
    clip_count: int
    labelled_count: int
    """Clips with a gold emotion."""
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class SnapshotMemberRow:
    """A clip with the labels it had when the snapshot was taken."""

    name: str
    content: str
    emotion: str | None
    valence: float | None
    speaker: str | None
    split: str
    fold: int | None
    transcript: str | None
    part: str | None = None
    votes: tuple[tuple[str, float], ...] | None = None
    """(emotion, share) of the votes, where their distribution is learnt."""
    label_source: str | None = None
    """`review` where the label is a reviewer's; None: the corpus owner's."""


class SnapshotCatalogue:
    """Snapshots are written once and never change."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def snapshot(self, corpus: str, clips: Sequence[ClipRow]) -> SnapshotRow:
        """Record exactly these clips with these labels; equal members give the same snapshot."""
        snapshot_id = membership_hash(clips)
        labelled = sum(clip.emotion is not None for clip in clips)
        now = utc_now()
        columns = (Snapshot.id, Snapshot.clip_count, Snapshot.labelled_count, Snapshot.created_at)
        query = select(*columns).where(Snapshot.id == snapshot_id)
        with self._database.writing() as connection:
            header = {
                "id": snapshot_id,
                "corpus_id": corpus_id(connection, corpus),
                "clip_count": len(clips),
                "labelled_count": labelled,
                "created_at": now,
                "used_at": now,
            }
            known = connection.execute(query).mappings().first()
            if known is None:
                upsert(connection, Snapshot, [header], update=False)
                members = [{"snapshot_id": snapshot_id, **_member(clip)} for clip in clips]
                upsert(connection, SnapshotMember, members, update=False)
                known = connection.execute(query).mappings().one()
            else:  # in the transaction that found it: it is not removed in between
                connection.execute(update(Snapshot).where(Snapshot.id == snapshot_id).values(used_at=now))
        return SnapshotRow(corpus=corpus, **known)

    def corpus_of(self, version: ModelVersionRow) -> str | None:
        """Name of the corpus that a version was trained on; None: it is not known any more.

        Corpora with equal clips and labels share one snapshot, so what the version's run said of itself counts. Of a version that
        was registered before that was noted (0.6.0 and earlier) it is the corpus that had the snapshot first.
        """
        named = (version.origin or {}).get("corpus")
        if named is None and version.snapshot_id is not None:
            named = self.first_corpus(version.snapshot_id)
        return named

    def first_corpus(self, snapshot_id: str) -> str | None:
        """Name of the corpus that was the first to have a snapshot; equal corpora have it too. None: no such snapshot."""
        query = select(Corpus.name).join(Snapshot, Snapshot.corpus_id == Corpus.id)
        with self._database.reading() as connection:
            return connection.scalar(query.where(Snapshot.id == snapshot_id))

    def snapshot_members(self, snapshot_id: str) -> list[SnapshotMemberRow]:
        """Members by name."""
        columns = [column for column in SnapshotMember.__table__.columns if column.name != "snapshot_id"]
        query = select(*columns).where(SnapshotMember.snapshot_id == snapshot_id)
        with self._database.reading() as connection:
            members = [_member_row(row) for row in connection.execute(query).mappings()]
        return sorted(members, key=lambda member: member.name)


def membership_hash(clips: Iterable[ClipRow | SnapshotMemberRow]) -> str:
    """sha256 (hex) over (name, content, emotion, valence, speaker, split, fold, transcript), sorted by name.

    A named part of the test split is one value more, and so is a distribution of votes; without any, hashes are those of before
    there were such. Where a label comes from is not in it.
    """
    digest = hashlib.sha256()
    for clip in sorted(clips, key=lambda c: c.name):
        values = _member(clip)
        part, votes, _ = (values.pop(name) for name in ("part", "votes", "label_source"))
        members = [
            *values.values(),
            *([part] if part is not None else []),
            *([votes] if votes is not None else []),
        ]
        line = json.dumps(members, ensure_ascii=True, separators=(",", ":"))
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def _member(clip: ClipRow | SnapshotMemberRow) -> dict[str, Any]:
    return {
        "name": clip.name,
        "content": clip.content,
        "emotion": clip.emotion,
        "valence": clip.valence,
        "speaker": clip.speaker,
        "split": clip.split,
        "fold": clip.fold,
        "transcript": clip.transcript,
        "part": clip.part,
        "votes": None if clip.votes is None else [list(pair) for pair in clip.votes],
        "label_source": clip.label_source,
    }


def _member_row(row: Mapping[Any, Any]) -> SnapshotMemberRow:
    votes = row["votes"]
    known = None if votes is None else tuple((str(emotion), float(share)) for emotion, share in votes)
    return SnapshotMemberRow(**{**row, "votes": known})
