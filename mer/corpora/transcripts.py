"""Transcripts as MERTools and the challenges write them: `name,chinese,english`, `name,chinese`, `name,sentence`.

These files name every clip of a corpus, labelled or not; so are they read: a text belongs to a name, whatever made that a clip.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path, PurePath
from types import MappingProxyType

from mer.corpora.reading import Reading
from mer.corpora.table_file import Cells, read_cells
from mer.errors import CorpusError
from mer.media.suffixes import MEDIA_SUFFIXES

TRANSCRIPT_FILES = (
    "transcription-engchi-polish.csv", "transcription-merge.csv", "track1_subtitle_chieng.csv",
    "subtitle_chieng.csv", "label-transcription.csv", "transcription-engchi.csv", "transcription.csv",
)  # fmt: skip
"""The checked ones before the raw ones; a clip's text is that of the first one that has any."""

ORIGINAL_CHINESE = ("chinese", "english", "sentence")
ORIGINAL_ENGLISH = ("english", "chinese", "sentence")
"""Columns by preference: what was said before what it was translated to."""

_NAME, TRANSCRIPT = "name", "transcript"


@dataclass(frozen=True)
class Transcripts:
    """Text by clip name, and what was read, for people."""

    texts: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def added_to(self, reading: Reading, name_of: Callable[[str], str] = str) -> Reading:
        """The reading with the texts of all its clips, labelled or not, that have none yet.

        `name_of` makes of a name what the corpus calls the clip.
        """
        texts: dict[str, str] = {}
        for name, text in self.texts.items():
            texts.setdefault(name_of(_plain(name)), text)
        entries = tuple(
            replace(entry, transcript=texts.get(_plain(entry.name)))
            if entry.transcript is None and _plain(entry.name) in texts
            else entry
            for entry in reading.entries
        )
        return replace(reading, entries=entries, notes=(*self.notes, *reading.notes))


def read_transcripts(
    root: Path,
    columns: Sequence[str],
    text_column: str = "",
    others: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Transcripts:
    """Read all transcript files of a corpus; none where there is no such file.

    Args:
        root: folder of the corpus.
        columns: the columns to take a text from, the preferred one first.
        text_column: the column to take instead; empty: as `columns` says.
        others: columns of further tables that had been looked into, by table, for the error.

    Raises:
        CorpusError: a file is no table, or none has the column asked for.
    """
    text_column = text_column.strip().lower()
    texts: dict[str, str] = {}
    notes: list[str] = []
    tables = {name: read_cells(root / name) for name in TRANSCRIPT_FILES if (root / name).is_file()}
    if text_column and not any(text_column in cells.columns for cells in tables.values()):
        found = {name: cells.columns for name, cells in tables.items()}
        raise no_such_column(text_column, {**others, **found})
    for name, cells in tables.items():
        column = next((one for one in _choice(columns, text_column) if one in cells.columns), None)
        if column is None or _NAME not in cells.columns:
            listed = ", ".join(_choice(columns, text_column))
            notes.append(f"{name}: no column name and one of {listed}: not used")
            continue
        added = _add(texts, cells, column)
        more = [one for one in cells.columns if one not in (_NAME, column, "")]
        unused = f" ({', '.join(more)}: not used; --text-column reads another)" if more else ""
        notes.append(f"transcripts: {name}, column {column}, {added} texts{unused}")
    return Transcripts(texts, tuple(notes))


def is_transcript_file(path: Path) -> bool:
    """Whether a table of a corpus' root holds transcripts and no labels: its name and its columns say so.

    Raises:
        CorpusError: a file of such a name that is no table.
    """
    if path.name not in TRANSCRIPT_FILES:
        return False
    status = path.stat()
    columns = _columns(path, status.st_size, status.st_mtime_ns)
    return bool(columns & set(ORIGINAL_CHINESE)) and not columns & {"emotion", "label", "discrete", "valence"}


@lru_cache(maxsize=64)
def _columns(path: Path, _size: int, _mtime_ns: int) -> frozenset[str]:
    """Columns of a table; kept while it is unchanged, since a folder is looked at several times and may have 130,000 rows."""
    return frozenset(read_cells(path).columns)


def chosen_column(cells: Cells, table: str, usual: str, text_column: str) -> str:
    """Column of a label table that holds the transcripts: the one asked for, else the layout's usual one.

    Raises:
        CorpusError: there is no such column; the message lists those that there are.
    """
    column = text_column.strip().lower() or usual
    if column not in cells.columns:
        raise no_such_column(text_column, {table: cells.columns})
    return column


def texts_beside(root: Path, table: str, cells: Cells, text_column: str) -> tuple[Cells, Transcripts]:
    """A label table whose `transcript` is the column asked for, where it has that, and what transcript files beside it say.

    Raises:
        CorpusError: neither the table nor a transcript file has the column; the message lists those that there are.
    """
    column = text_column.strip().lower()
    if not column or column not in cells.columns:
        return cells, read_transcripts(root, ORIGINAL_CHINESE, column, {table: cells.columns})
    rows = [{**row, TRANSCRIPT: row[column]} for row in cells.rows]
    columns = tuple(dict.fromkeys([name for name in cells.columns if name != column] + [TRANSCRIPT]))
    return replace(cells, columns=columns, rows=rows), Transcripts(
        notes=(f"transcripts: {table}, column {column}",)
    )


def one_text_only(text_column: str, format: str) -> None:
    """Refuse the choice of a column where the layout has one text a clip.

    Raises:
        CorpusError: a column is asked for.
    """
    if text_column:
        raise CorpusError(
            f"text column {text_column!r}: expected none, since a corpus of the format {format} has one text a clip and no "
            "columns of texts; leave --text-column out"
        )


def no_such_column(text_column: str, columns: Mapping[str, Sequence[str]]) -> CorpusError:
    """The error of a text column that no table has; `columns` are those of each."""
    listed = "; ".join(
        f"{table}: {', '.join(name for name in names if name and name != _NAME)}"
        for table, names in columns.items()
    )
    return CorpusError(
        f"text column {text_column!r}: expected a column of the corpus' transcripts, found "
        f"{listed or 'no file of transcripts (' + ', '.join(TRANSCRIPT_FILES) + ')'}; name one of these by --text-column"
    )


def _choice(columns: Sequence[str], text_column: str) -> Sequence[str]:
    return (text_column,) if text_column else columns


def _add(texts: dict[str, str], cells: Cells, column: str) -> int:
    """Take the texts of clips that have none yet; returns how many."""
    before = len(texts)
    for row in cells.rows:
        if row[column] and row[column].lower() != "nan":
            texts.setdefault(row[_NAME], row[column])
    return len(texts) - before


def _plain(name: str) -> str:
    """A name without a media suffix, composed (NFC): people write both ways."""
    pure = PurePath(name)
    stem = pure.with_suffix("").name if pure.suffix.lower() in MEDIA_SUFFIXES else name
    return unicodedata.normalize("NFC", stem)
