"""Clips of a corpus, the files they were found in, and their gold labels."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Exists, Select, and_, delete, exists, func, select

from infra.catalogue.bulk import MOST_NAMED, in_parts, upsert
from infra.catalogue.corpora import corpus_id
from infra.catalogue.database import Database
from infra.catalogue.quarantine import forget_media, release_paths, storable
from infra.catalogue.stored_path import read_path, stored_path
from infra.catalogue.tables import Clip, Corpus, GoldLabel, MediaFile, RecognisedSpeech, Transcript


@dataclass(frozen=True, kw_only=True)
class ClipUpsert:
    """A probed and hashed media file, with what its corpus says about it."""

    name: str
    """What the clip is called in its corpus, and nothing else there."""
    content: str
    """sha256 (hex) of the media file."""
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
    part: str | None = None
    """Named part of the test split."""


@dataclass(frozen=True, kw_only=True)
class ClipRow:
    """A catalogued clip with its gold label and transcript."""

    name: str
    content: str
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
    part: str | None = None
    """Named part of the test split."""
    votes: tuple[tuple[str, float], ...] | None = None
    """(emotion, share) of the votes on the label, where their distribution is learnt; None: the label alone counts."""
    label_source: str | None = None
    """`review` where the label is a reviewer's; None: the corpus owner's."""


class KnownFile(NamedTuple):
    """What tells an unchanged file without hashing it."""

    size: int
    mtime_ns: int
    name: str
    content: str


class ClipCounts(NamedTuple):
    """Clips of a corpus that have a file."""

    clips: int
    labelled: int
    speakers: int
    """Distinct ones that are known."""


class ClipCatalogue:
    """Clips by corpus. Raises CatalogueError for a corpus that is not catalogued."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def known_files(self, corpus: str, only: Collection[str] | None = None) -> dict[str, KnownFile]:
        """Files accepted before, by path; `only`: of these paths, None: all."""
        columns = (MediaFile.path, MediaFile.size, MediaFile.mtime_ns, MediaFile.name, MediaFile.content)
        with self._database.reading() as connection:
            query = select(*columns).where(MediaFile.corpus_id == corpus_id(connection, corpus))
            if only is None:
                rows = list(connection.execute(query))
            else:
                parts = in_parts(map(stored_path, only))
                rows = [
                    row for part in parts for row in connection.execute(query.where(MediaFile.path.in_(part)))
                ]
        return {read_path(path): KnownFile(*known) for path, *known in rows}

    def upsert_clips(self, corpus: str, rows: Sequence[ClipUpsert]) -> None:
        """Catalogue accepted files, all or none; each leaves the quarantine if it was there.

        Every name is a clip of its own, whatever content it has. What the corpus says of it (transcript included) replaces what
        it said before.
        """
        with self._database.writing() as connection:
            number = corpus_id(connection, corpus)
            upsert(connection, Clip, [_clip_values(number, row) for row in rows])
            upsert(connection, MediaFile, [_file_values(number, row) for row in rows])
            upsert(connection, Transcript, [_transcript(number, row) for row in rows if row.transcript])
            silent = [row.name for row in rows if not row.transcript]
            for part in in_parts(silent):
                gone = Transcript.name.in_(part)
                connection.execute(delete(Transcript).where(Transcript.corpus_id == number, gone))
            release_paths(connection, number, {storable(row.path) for row in rows})

    def forget_files(self, corpus: str, paths: Iterable[str]) -> None:
        """Files that are no longer there; a clip without any file is no longer listed."""
        with self._database.writing() as connection:
            forget_media(connection, corpus_id(connection, corpus), set(map(stored_path, paths)))

    def set_gold_labels(self, corpus: str, rows: Iterable[tuple[str, str | None, float | None]]) -> None:
        """Set (name, emotion, valence in [-5, 5]) of catalogued clips; None (or NaN) where missing.

        Raises CatalogueError if a clip is not catalogued; no label is set then.
        """
        with self._database.writing() as connection:
            number = corpus_id(connection, corpus)
            values = [
                {
                    "corpus_id": number,
                    "name": name,
                    "emotion": emotion,
                    "valence": None if valence is None or valence != valence else float(valence),
                }
                for name, emotion, valence in rows
            ]
            upsert(connection, GoldLabel, values)

    def set_recognised(self, recogniser: str, rows: Iterable[tuple[str, str]]) -> None:
        """Keep what a recogniser heard: (content, text), for all clips of this content; empty: nothing was said."""
        values = [
            {"content": content, "recogniser": recogniser, "text": storable(text)} for content, text in rows
        ]
        with self._database.writing() as connection:
            upsert(connection, RecognisedSpeech, values)

    def contents(self, corpus: str, only: Collection[str] | None = None) -> dict[str, str]:
        """Content of the corpus' clips that have a file, by name; `only`: of these names, None: of all."""
        with self._database.reading() as connection:
            query = select(Clip.name, Clip.content)
            query = query.where(Clip.corpus_id == corpus_id(connection, corpus), has_file())
            if only is None or len(only) > MOST_NAMED:
                listed = None if only is None else frozenset(only)
                rows = connection.execute(query)
                return {name: content for name, content in rows if listed is None or name in listed}
            named = connection.execute(query.where(Clip.name.in_(only))).all()
        return {row.name: row.content for row in named}

    def known_contents(self, corpus: str, contents: Collection[str]) -> set[str]:
        """Those of these contents that a clip of the corpus with a file has."""
        with self._database.reading() as connection:
            mine = Clip.corpus_id == corpus_id(connection, corpus)
            query = select(Clip.content).where(mine, has_file())
            return {
                content
                for part in in_parts(contents)
                for content in connection.scalars(query.where(Clip.content.in_(part)))
            }

    def counts(self, corpus: str) -> ClipCounts:
        """How many clips with a file the corpus has, and of what kind; counted where they lie."""
        with self._database.reading() as connection:
            number = corpus_id(connection, corpus)
            same = (GoldLabel.corpus_id == Clip.corpus_id) & (GoldLabel.name == Clip.name)
            query = select(func.count(), func.count(GoldLabel.emotion), func.count(Clip.speaker.distinct()))
            query = query.select_from(Clip).outerjoin(GoldLabel, same)
            return ClipCounts(*connection.execute(query.where(Clip.corpus_id == number, has_file())).one())

    def clips_sharing_content(self, corpus: str) -> list[ClipRow]:
        """Clips that have a file, and whose content another such clip of the corpus has; by name."""
        with self._database.reading() as connection:
            mine = Clip.corpus_id == corpus_id(connection, corpus)
            twice = select(Clip.content).where(mine, has_file())
            twice = twice.group_by(Clip.content).having(func.count() > 1)
            query = clip_rows().where(mine, has_file(), Clip.content.in_(twice))
            rows = [clip_row(row) for row in connection.execute(query).mappings()]
        return sorted(rows, key=lambda row: row.name)

    def clips_lying_at(self, paths: Collection[str], contents: Collection[str]) -> list[tuple[str, ClipRow]]:
        """Clips of any corpus that lie at one of these paths or have one of these contents, with their corpus' name."""
        with self._database.reading() as connection:
            corpora = connection.execute(select(Corpus.id, Corpus.name).order_by(Corpus.name)).all()
            found: dict[tuple[str, str], ClipRow] = {}
            for number, corpus in corpora:
                at = select(MediaFile.name).where(MediaFile.corpus_id == number)
                conditions = [
                    *(
                        Clip.name.in_(at.where(MediaFile.path.in_(p)))
                        for p in in_parts(map(stored_path, paths))
                    ),
                    *(Clip.content.in_(part) for part in in_parts(contents)),
                ]
                for condition in conditions:
                    query = clip_rows().where(Clip.corpus_id == number, has_file(), condition)
                    for row in connection.execute(query).mappings():
                        found[corpus, row["name"]] = clip_row(row)
        return [(corpus, found[corpus, name]) for corpus, name in sorted(found)]

    def clips(
        self, corpus: str, recogniser: str | None = None, only: Collection[str] | None = None
    ) -> list[ClipRow]:
        """Clips of the corpus that have a file, by name.

        Args:
            corpus: its name.
            recogniser: whose text stands in for clips that the corpus has no transcript of.
            only: names to keep; None: all.
        """
        query = clip_rows(recogniser)
        if only is not None and len(only) <= MOST_NAMED:
            query = query.where(Clip.name.in_(only))
        with self._database.reading() as connection:
            query = query.where(Clip.corpus_id == corpus_id(connection, corpus), has_file())
            rows = connection.execute(query).mappings().all()
        if only is not None:
            listed = frozenset(only)
            rows = [row for row in rows if row["name"] in listed]
        # sorted here: databases order text by their own rules, and what is frozen must not depend on them
        return [clip_row(row) for row in sorted(rows, key=lambda row: row["name"])]


def clip_rows(recogniser: str | None = None) -> Select[Any]:
    """Clips with label and transcript; `recogniser`: whose text stands in where the corpus has none."""
    same_label = (GoldLabel.corpus_id == Clip.corpus_id) & (GoldLabel.name == Clip.name)
    same_text = (Transcript.corpus_id == Clip.corpus_id) & (Transcript.name == Clip.name)
    columns = [column for column in Clip.__table__.columns if column.name != "corpus_id"]
    text: ColumnElement[str] = Transcript.text.expression
    if recogniser is not None:
        text = func.coalesce(text, RecognisedSpeech.text)
    query = (
        select(*columns, text.label("transcript"), GoldLabel.emotion, GoldLabel.valence)
        .select_from(Clip)
        .outerjoin(GoldLabel, same_label)
        .outerjoin(Transcript, same_text)
    )
    if recogniser is not None:
        heard = RecognisedSpeech.content == Clip.content
        query = query.outerjoin(RecognisedSpeech, and_(heard, RecognisedSpeech.recogniser == recogniser))
    return query


def clip_row(row: Mapping[Any, Any]) -> ClipRow:
    """A row of `clip_rows` as it is given out."""
    return ClipRow(**{**row, "path": Path(read_path(row["path"]))})


def has_file() -> Exists:
    """A clip is listed while a file lies where it was last seen, under its name."""
    return exists().where(
        MediaFile.corpus_id == Clip.corpus_id, MediaFile.path == Clip.path, MediaFile.name == Clip.name
    )


def _clip_values(corpus_id: int, row: ClipUpsert) -> dict[str, Any]:
    return {
        "corpus_id": corpus_id,
        "name": row.name,
        "content": row.content,
        "path": stored_path(row.path),
        "duration_seconds": row.duration_seconds,
        "has_audio": row.has_audio,
        "has_video": row.has_video,
        "width": row.width,
        "height": row.height,
        "speaker": None if row.speaker is None else storable(row.speaker),
        "split": str(row.split),
        "part": None if row.part is None else storable(row.part),
        "fold": row.fold,
    }


def _file_values(corpus_id: int, row: ClipUpsert) -> dict[str, Any]:
    return {
        "corpus_id": corpus_id,
        "path": stored_path(row.path),
        "name": row.name,
        "size": row.size,
        "mtime_ns": row.mtime_ns,
        "content": row.content,
    }


def _transcript(corpus_id: int, row: ClipUpsert) -> dict[str, Any]:
    return {
        "corpus_id": corpus_id,
        "name": row.name,
        "text": storable(row.transcript or ""),
    }
