"""Transcripts as MERTools and the challenges write them: `name,chinese,english`, `name,chinese`, `name,sentence`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mer.corpora.table_file import read_cells

TRANSCRIPT_FILES = (
    "transcription-engchi-polish.csv", "transcription-merge.csv", "track1_subtitle_chieng.csv",
    "subtitle_chieng.csv", "label-transcription.csv", "transcription-engchi.csv", "transcription.csv",
)  # fmt: skip
"""The checked ones before the raw ones; the first that is there is read."""

ORIGINAL_CHINESE = ("chinese", "english", "sentence")
ORIGINAL_ENGLISH = ("english", "chinese", "sentence")
"""Columns by preference: what was said before what it was translated to."""


@dataclass(frozen=True)
class Transcripts:
    """Text by clip name, and what was read, for people."""

    texts: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_transcripts(root: Path, columns: Sequence[str]) -> Transcripts:
    """Read the corpus' transcripts; none where there is no such file.

    Args:
        root: folder of the corpus.
        columns: the columns to take the text from, the preferred one first.

    Raises:
        CorpusError: the file is no table.
    """
    file = next((root / name for name in TRANSCRIPT_FILES if (root / name).is_file()), None)
    if file is None:
        return Transcripts()
    cells = read_cells(file)
    column = next((name for name in columns if name in cells.columns), None)
    if column is None or "name" not in cells.columns:
        return Transcripts(notes=(f"{file.name}: no column name and one of {', '.join(columns)}: not used",))
    texts: dict[str, str] = {}
    for row in cells.rows:
        if row[column] and row[column].lower() != "nan":
            texts.setdefault(row["name"], row[column])
    others = [name for name in columns if name in cells.columns and name != column]
    unused = f" ({', '.join(others)}: not used)" if others else ""
    return Transcripts(texts, (f"transcripts: {file.name}, column {column}{unused}",))
