"""Corpora, their clips, and what was set aside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, exists, insert, select, update

from infra.catalogue.bulk import upsert
from infra.catalogue.database import Database
from infra.catalogue.tables import Clip, Corpus, GoldLabel, MediaFile, Quarantine, Transcript, utc_now
from infra.errors import CatalogueError

CORPUS_TRANSCRIPT = "corpus"
"""Source of transcripts that the corpus came with."""


@dataclass(frozen=True, kw_only=True)
class CorpusRow:
    """A corpus as catalogued."""

    id: int
    name: str
    root: str
    format: str
    emotions: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class IngestedClip:
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
    path: str
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


@dataclass(frozen=True, kw_only=True)
class QuarantinedFile:
    """A file set aside, and why."""

    name: str
    path: str
    reason: str
    detail: str


class ClipCatalogue:
    """Corpora and clips. `corpus_id` is what `upsert_corpus` returned."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def upsert_corpus(self, name: str, root: str, format: str, emotions: Sequence[str]) -> int:
        """Catalogue a corpus or bring it up to date; returns its id."""
        values: dict[str, Any] = {"root": root, "format": format, "emotions": list(emotions)}
        with self._database.writing() as connection:
            found = connection.scalar(select(Corpus.id).where(Corpus.name == name).with_for_update())
            if found is not None:
                connection.execute(update(Corpus).where(Corpus.id == found).values(values))
                return found
            return connection.execute(
                insert(Corpus).values(name=name, **values).returning(Corpus.id)
            ).scalar_one()

    def corpus(self, name: str) -> CorpusRow | None:
        """The corpus of this name."""
        return next((corpus for corpus in self.corpora() if corpus.name == name), None)

    def corpora(self) -> list[CorpusRow]:
        """All corpora by name."""
        columns = (Corpus.id, Corpus.name, Corpus.root, Corpus.format, Corpus.emotions)
        with self._database.reading() as connection:
            rows = connection.execute(select(*columns).order_by(Corpus.name)).all()
        return [
            CorpusRow(
                id=row.id, name=row.name, root=row.root, format=row.format, emotions=tuple(row.emotions)
            )
            for row in rows
        ]

    def known_files(self, corpus_id: int) -> dict[str, KnownFile]:
        """Files accepted before, by path."""
        query = select(MediaFile.path, MediaFile.size, MediaFile.mtime_ns, MediaFile.clip_id)
        with self._database.reading() as connection:
            rows = connection.execute(query.where(MediaFile.corpus_id == corpus_id)).all()
        return {path: KnownFile(size, mtime_ns, clip_id) for path, size, mtime_ns, clip_id in rows}

    def upsert_clips(self, corpus_id: int, rows: Sequence[IngestedClip]) -> None:
        """Catalogue accepted files, all or none; each leaves the quarantine if it was there.

        Two files of equal content are one clip under the name of the first.
        """
        with self._database.writing() as connection:
            upsert(connection, Clip, [_clip_values(corpus_id, row) for row in rows])
            upsert(connection, MediaFile, [_file_values(corpus_id, row) for row in rows])
            upsert(connection, Transcript, [_transcript(corpus_id, row) for row in rows if row.transcript])
            _release(connection, corpus_id, {row.path for row in rows})

    def forget_files(self, corpus_id: int, paths: Iterable[str]) -> None:
        """Files that are no longer there; a clip without any file is no longer listed."""
        with self._database.writing() as connection:
            _forget(connection, corpus_id, paths)

    def set_gold_labels(self, corpus_id: int, rows: Iterable[tuple[str, str | None, float | None]]) -> None:
        """Set (clip_id, emotion, valence in [-5, 5]) of catalogued clips; None (or NaN) where missing.

        Raises CatalogueError if a clip is not catalogued; no label is set then.
        """
        values = [
            {
                "corpus_id": corpus_id,
                "clip_id": clip_id,
                "emotion": emotion,
                "valence": None if valence is None or valence != valence else valence,
            }
            for clip_id, emotion, valence in rows
        ]
        with self._database.writing() as connection:
            upsert(connection, GoldLabel, values)

    def clips(self, corpus_id: int) -> list[ClipRow]:
        """Clips of the corpus that have a file, by clip id."""
        at_home = exists().where(MediaFile.corpus_id == Clip.corpus_id, MediaFile.clip_id == Clip.clip_id)
        same_label = (GoldLabel.corpus_id == Clip.corpus_id) & (GoldLabel.clip_id == Clip.clip_id)
        same_text = (
            (Transcript.corpus_id == Clip.corpus_id)
            & (Transcript.clip_id == Clip.clip_id)
            & (Transcript.source == CORPUS_TRANSCRIPT)
        )
        columns = [column for column in Clip.__table__.columns if column.name != "corpus_id"]
        query = (
            select(*columns, Transcript.text.label("transcript"), GoldLabel.emotion, GoldLabel.valence)
            .select_from(Clip)
            .outerjoin(GoldLabel, same_label)
            .outerjoin(Transcript, same_text)
            .where(Clip.corpus_id == corpus_id, at_home)
            .order_by(Clip.clip_id)
        )
        with self._database.reading() as connection:
            return [ClipRow(**row) for row in connection.execute(query).mappings()]

    def quarantine(self, corpus_id: int, name: str, path: str, reason: str, detail: str) -> None:
        """Set one file aside; see `quarantine_all`."""
        self.quarantine_all(corpus_id, [QuarantinedFile(name=name, path=path, reason=reason, detail=detail)])

    def quarantine_all(self, corpus_id: int, files: Sequence[QuarantinedFile]) -> None:
        """Set files aside with a reason code; a file accepted before is accepted no longer."""
        values = [
            {
                "corpus_id": corpus_id,
                "path": storable(file.path),
                "name": storable(file.name),
                "reason": file.reason,
                "detail": storable(file.detail),
                "created_at": utc_now(),
            }
            for file in files
        ]
        with self._database.writing() as connection:
            upsert(connection, Quarantine, values)
            _forget(connection, corpus_id, [str(row["path"]) for row in values])

    def quarantined(self, corpus_id: int) -> list[QuarantinedFile]:
        """Files set aside, by path."""
        query = (
            select(Quarantine.name, Quarantine.path, Quarantine.reason, Quarantine.detail)
            .where(Quarantine.corpus_id == corpus_id)
            .order_by(Quarantine.path)
        )
        with self._database.reading() as connection:
            return [QuarantinedFile(**row) for row in connection.execute(query).mappings()]

    def release(self, corpus_id: int, paths: Iterable[str]) -> None:
        """Take files that are no longer there out of the quarantine."""
        with self._database.writing() as connection:
            _release(connection, corpus_id, {storable(path) for path in paths})


def storable(text: str) -> str:
    """`text` with what no database stores (lone surrogates of undecodable file names, NUL) as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\x00")


def corpus_name(connection: Connection, corpus_id: int) -> str:
    """Name of a catalogued corpus. Raises CatalogueError if there is none of this id."""
    name = connection.scalar(select(Corpus.name).where(Corpus.id == corpus_id))
    if name is None:
        raise CatalogueError(f"no corpus with id {corpus_id} in the catalogue")
    return name


def _clip_values(corpus_id: int, row: IngestedClip) -> dict[str, Any]:
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
        "speaker": row.speaker,
        "split": str(row.split),
        "fold": row.fold,
    }


def _file_values(corpus_id: int, row: IngestedClip) -> dict[str, Any]:
    return {
        "corpus_id": corpus_id,
        "path": row.path,
        "name": row.name,
        "size": row.size,
        "mtime_ns": row.mtime_ns,
        "clip_id": row.clip_id,
    }


def _transcript(corpus_id: int, row: IngestedClip) -> dict[str, Any]:
    return {
        "corpus_id": corpus_id,
        "clip_id": row.clip_id,
        "source": CORPUS_TRANSCRIPT,
        "text": storable(row.transcript or ""),
    }


def _release(connection: Connection, corpus_id: int, paths: set[str]) -> None:
    held = connection.scalars(select(Quarantine.path).where(Quarantine.corpus_id == corpus_id))
    for path in paths.intersection(held):
        connection.execute(
            delete(Quarantine).where(Quarantine.corpus_id == corpus_id, Quarantine.path == path)
        )


def _forget(connection: Connection, corpus_id: int, paths: Iterable[str]) -> None:
    known = set(connection.scalars(select(MediaFile.path).where(MediaFile.corpus_id == corpus_id)))
    for path in known.intersection(paths):
        connection.execute(delete(MediaFile).where(MediaFile.corpus_id == corpus_id, MediaFile.path == path))
