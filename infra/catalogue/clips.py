"""Clips of a corpus, the files they were found in, and their gold labels."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, exists, func, select
from sqlalchemy.orm import aliased

from infra.catalogue.bulk import upsert
from infra.catalogue.corpora import corpus_id
from infra.catalogue.database import Database
from infra.catalogue.quarantine import forget_media, release_paths, storable
from infra.catalogue.tables import Clip, GoldLabel, MediaFile, Transcript

_MOST_NAMED = 4096
"""Clips that a query names one by one; beyond that all are read (databases limit the parameters of a statement)."""
CORPUS_TRANSCRIPT = "corpus"
"""Source of transcripts that the corpus came with."""


@dataclass(frozen=True, kw_only=True)
class ClipUpsert:
    """A probed and hashed media file, with what its corpus says about it."""

    clip_id: str
    """sha256 (hex) of the media file."""
    name: str
    path: str
    """Where the file lies; the same spelling must be used at every scan."""
    size: int
    """Bytes."""
    mtime_ns: int
    """Time of last change in nanoseconds."""
    duration_seconds: float | None
    has_audio: bool
    has_video: bool
    width: int | None = None
    """Pixels."""
    height: int | None = None
    """Pixels."""
    speaker: str | None = None
    split: str = "train"
    fold: int | None = None
    transcript: str | None = None


@dataclass(frozen=True, kw_only=True)
class ClipRow:
    """A catalogued clip with its gold label and transcript."""

    clip_id: str
    name: str
    path: Path
    duration_seconds: float | None
    has_audio: bool
    has_video: bool
    width: int | None
    height: int | None
    speaker: str | None
    split: str
    fold: int | None
    transcript: str | None
    emotion: str | None
    valence: float | None


class KnownFile(NamedTuple):
    """What tells an unchanged file without hashing it."""

    size: int
    mtime_ns: int
    clip_id: str


class ClipCatalogue:
    """Clips by corpus. Raises CatalogueError for a corpus that is not catalogued."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def known_files(self, corpus: str) -> dict[str, KnownFile]:
        """Files accepted before, by path."""
        columns = (MediaFile.path, MediaFile.size, MediaFile.mtime_ns, MediaFile.clip_id)
        with self._database.reading() as connection:
            same = MediaFile.corpus_id == corpus_id(connection, corpus)
            rows = connection.execute(select(*columns).where(same)).all()
        return {path: KnownFile(size, mtime_ns, clip_id) for path, size, mtime_ns, clip_id in rows}

    def upsert_clips(self, corpus: str, rows: Sequence[ClipUpsert]) -> None:
        """Catalogue accepted files, all or none; each leaves the quarantine if it was there.

        Two files of equal content are one clip, under the name of the first.
        """
        with self._database.writing() as connection:
            number = corpus_id(connection, corpus)
            upsert(connection, Clip, [_clip_values(number, row) for row in rows])
            upsert(connection, MediaFile, [_file_values(number, row) for row in rows])
            upsert(connection, Transcript, [_transcript(number, row) for row in rows if row.transcript])
            release_paths(connection, number, {row.path for row in rows})

    def forget_files(self, corpus: str, paths: Iterable[str]) -> None:
        """Files that are no longer there; a clip without any file is no longer listed."""
        with self._database.writing() as connection:
            forget_media(connection, corpus_id(connection, corpus), set(paths))

    def set_gold_labels(self, corpus: str, rows: Iterable[tuple[str, str | None, float | None]]) -> None:
        """Set (clip_id, emotion, valence in [-5, 5]) of catalogued clips; None (or NaN) where missing.

        Raises CatalogueError if a clip is not catalogued; no label is set then.
        """
        with self._database.writing() as connection:
            number = corpus_id(connection, corpus)
            values = [
                {
                    "corpus_id": number,
                    "clip_id": clip_id,
                    "emotion": emotion,
                    "valence": None if valence is None or valence != valence else float(valence),
                }
                for clip_id, emotion, valence in rows
            ]
            upsert(connection, GoldLabel, values)

    def set_transcripts(self, corpus: str, source: str, rows: Iterable[tuple[str, str]]) -> None:
        """Keep what the recogniser `source` heard in catalogued clips: (clip_id, text); empty: nothing was said."""
        with self._database.writing() as connection:
            number = corpus_id(connection, corpus)
            values = [
                {"corpus_id": number, "clip_id": clip_id, "source": source, "text": storable(text)}
                for clip_id, text in rows
            ]
            upsert(connection, Transcript, values)

    def clips(
        self, corpus: str, recogniser: str | None = None, only: Collection[str] | None = None
    ) -> list[ClipRow]:
        """Clips of the corpus that have a file, by clip id.

        Args:
            corpus: its name.
            recogniser: whose text stands in for clips that the corpus has no transcript of.
            only: clip ids to keep; None: all.
        """
        at_home = exists().where(MediaFile.corpus_id == Clip.corpus_id, MediaFile.clip_id == Clip.clip_id)
        same_label = (GoldLabel.corpus_id == Clip.corpus_id) & (GoldLabel.clip_id == Clip.clip_id)
        columns = [column for column in Clip.__table__.columns if column.name != "corpus_id"]
        # Only sources that are asked for are joined: SQLite reads the whole table for every clip where a join can match nothing.
        sources = [CORPUS_TRANSCRIPT] if recogniser is None else [CORPUS_TRANSCRIPT, recogniser]
        texts = [(aliased(Transcript), source) for source in sources]
        found = [text.text for text, _ in texts]
        transcript = found[0] if len(found) == 1 else func.coalesce(*found)
        query = (
            select(*columns, transcript.label("transcript"), GoldLabel.emotion, GoldLabel.valence)
            .select_from(Clip)
            .outerjoin(GoldLabel, same_label)
            .order_by(Clip.clip_id)
        )
        for text, source in texts:
            query = query.outerjoin(text, _text_of(text, source))
        if only is not None and len(only) <= _MOST_NAMED:
            query = query.where(Clip.clip_id.in_(only))
        with self._database.reading() as connection:
            query = query.where(Clip.corpus_id == corpus_id(connection, corpus), at_home)
            rows = connection.execute(query).mappings().all()
        if only is not None:
            kept = frozenset(only)
            rows = [row for row in rows if row["clip_id"] in kept]
        return [ClipRow(**{**row, "path": Path(row["path"])}) for row in rows]


def _text_of(transcript: Any, source: str) -> ColumnElement[bool]:
    return and_(
        transcript.corpus_id == Clip.corpus_id,
        transcript.clip_id == Clip.clip_id,
        transcript.source == source,
    )


def _clip_values(corpus_id: int, row: ClipUpsert) -> dict[str, Any]:
    return {
        "corpus_id": corpus_id,
        "clip_id": row.clip_id,
        "name": row.name,
        "path": row.path,
        "duration_seconds": row.duration_seconds,
        "has_audio": row.has_audio,
        "has_video": row.has_video,
        "width": row.width,
        "height": row.height,
        "speaker": None if row.speaker is None else storable(row.speaker),
        "split": str(row.split),
        "fold": row.fold,
    }


def _file_values(corpus_id: int, row: ClipUpsert) -> dict[str, Any]:
    return {
        "corpus_id": corpus_id,
        "path": row.path,
        "name": row.name,
        "size": row.size,
        "mtime_ns": row.mtime_ns,
        "clip_id": row.clip_id,
    }


def _transcript(corpus_id: int, row: ClipUpsert) -> dict[str, Any]:
    return {
        "corpus_id": corpus_id,
        "clip_id": row.clip_id,
        "source": CORPUS_TRANSCRIPT,
        "text": storable(row.transcript or ""),
    }
