"""Words that come with files to be predicted: a table of them, and the text file beside a clip.

Ingestion takes transcripts from a corpus' own tables (`mer.corpora.transcripts`); here a user says what is spoken in files of any
folder. Which of several sources counts is the caller's business.
"""

from __future__ import annotations

import json
import os
import stat
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mer.clips import Clip
from mer.corpora.columns import SYNONYMS, column_key
from mer.corpora.table_file import MAX_TABLE_BYTES, Cells, read_cells
from mer.corpora.transcripts import ORIGINAL_CHINESE
from mer.errors import CorpusError

NAME_COLUMNS = ("path", *SYNONYMS["path"], "name", *SYNONYMS["name"], "video", "audio", "id")
TEXT_COLUMNS = ("transcript", *SYNONYMS["transcript"], "utterance", "words", *ORIGINAL_CHINESE)
"""Columns by preference, in lower case with `_` for blanks: what label tables call them, and the challenges' subtitle files."""

SIDECAR_SUFFIX = ".txt"
MAX_SIDECAR_BYTES = 1 << 16
"""A text file over 64 KiB beside a clip is no transcript of it."""

_SHOWN = 5


@dataclass(frozen=True)
class ClipTexts:
    """Words by clip name, file name, stem or path."""

    texts: Mapping[str, str]
    """As the source wrote the keys; an empty text says that nothing is spoken."""
    source: str
    """What the texts come from, for messages."""

    def of_files(self, files: Sequence[tuple[str, Path]]) -> list[str | None]:
        """The text of each of some files; None where there is none for it.

        Args:
            files: name of the clip, and its file.

        Raises:
            CorpusError: a name that stands for several files; says which.
        """
        rows_of: dict[str, list[int]] = {}
        for row, (name, path) in enumerate(files):
            for key in _keys(name, path):
                rows_of.setdefault(key, []).append(row)
        found: list[str | None] = [None] * len(files)
        for name, text in self.texts.items():
            rows = rows_of.get(_plain(name), [])
            if len(rows) > 1:
                shown = ", ".join(str(files[row][1]) for row in rows[:_SHOWN])
                raise CorpusError(
                    f"{self.source}: the name {name!r} stands for {len(rows)} files ({shown}): name each by its path"
                )
            for row in rows:
                found[row] = text
        return found

    def without_file(self, files: Sequence[tuple[str, Path]]) -> list[str]:
        """Names of texts that none of these files has."""
        known = {key for name, path in files for key in _keys(name, path)}
        return [name for name in self.texts if _plain(name) not in known]


def read_texts(path: Path) -> ClipTexts:
    """Read a table (.csv, .tsv, .parquet) or JSON lines (.jsonl) with a column of names or paths, and one of texts.

    Raises:
        CorpusError: no such file, no table, columns that are neither, or a name with two texts.
    """
    if not path.is_file():
        raise CorpusError(f"transcripts: expected a table at {path}, found none")
    cells = _read_json_lines(path) if path.suffix.lower() in (".jsonl", ".ndjson") else read_cells(path)
    columns = {column_key(column): column for column in reversed(cells.columns)}
    name = next((columns[key] for key in NAME_COLUMNS if key in columns), None)
    text = next((columns[key] for key in TEXT_COLUMNS if key in columns), None)
    if name is None or text is None:
        raise CorpusError(
            f"{path.name}: expected a column of names (path, name, filename, ...) and one of texts (transcript, text, sentence, "
            f"subtitle, chinese, english, ...), found {', '.join(cells.columns) or 'no header'}"
        )
    texts: dict[str, str] = {}
    for row in cells.rows:
        if row[name] and texts.setdefault(row[name], row[text]) != row[text]:
            raise CorpusError(
                f"{path.name}: the name {row[name]!r} has two different texts; keep one of them"
            )
    return ClipTexts(texts, path.name)


def sidecar_text(media: Path) -> str | None:
    """Words in the text file beside a media file, `clip.txt` beside `clip.mp4`; None where there is none.

    UTF-8 with or without byte order mark; line ends and blanks become single blanks. A link is not followed.

    Raises:
        CorpusError: a file of that name that is no text of a clip: too long, or not UTF-8.
    """
    path = media.with_suffix(SIDECAR_SUFFIX)
    try:
        status = os.lstat(path)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(status.st_mode) or path == media:
        return None
    if status.st_size > MAX_SIDECAR_BYTES:
        raise CorpusError(
            f"{path.name}: expected the words of {media.name}, at most {MAX_SIDECAR_BYTES} bytes, found {status.st_size}"
        )
    try:
        return " ".join(path.read_bytes().decode("utf-8-sig").split())
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path.name} is not UTF-8 (byte {error.start}): save it as UTF-8") from error
    except OSError as error:
        raise CorpusError(f"{path.name} cannot be read: {error.strerror}") from error


def with_words(
    clips: Sequence[Clip], given: ClipTexts | None, *, before_known: bool = True
) -> tuple[list[Clip], list[str]]:
    """The clips with their words, and what is to be said of texts that could not be used.

    What is given counts first, then the text file beside a clip, then what was known of the clip; one that has none of these is
    left without: the recipe's recogniser, where there is one, listens to it later.

    Args:
        clips: with the transcripts that are known of them.
        given: texts that the user gives.
        before_known: False: the text file beside a clip is read only where nothing is known.

    Raises:
        CorpusError: a given name that stands for several clips.
    """
    notes: list[str] = []
    files = [(clip.name, clip.path) for clip in clips]
    texts = given.of_files(files) if given is not None else [None] * len(clips)
    if given is not None and (unused := given.without_file(files)):
        shown = ", ".join(unused[:_SHOWN]) + (", ..." if len(unused) > _SHOWN else "")
        notes.append(f"{given.source}: {len(unused)} of {len(given.texts)} texts have no clip here ({shown})")
    spoken = []
    differing: list[str] = []
    for clip, text in zip(clips, texts, strict=True):
        if text is None and (before_known or clip.transcript is None):
            try:
                text = sidecar_text(clip.path)
            except CorpusError as error:
                notes.append(f"not used: {error}")
            if None not in (text, clip.transcript) and text != clip.transcript:
                differing.append(clip.path.with_suffix(SIDECAR_SUFFIX).name)
        spoken.append(clip if text is None else replace(clip, transcript=text))
    if differing:
        shown = ", ".join(differing[:_SHOWN]) + (", ..." if len(differing) > _SHOWN else "")
        notes.append(
            f"{len(differing)} clips are read with the text files beside them ({shown}), not with the words that are catalogued; "
            "move the files if they hold something else"
        )
    return spoken, notes


def _keys(name: str, path: Path) -> set[str]:
    """What a table may call a file: its clip's name, its file's with and without suffix, and its path from any folder on."""
    parts = path.absolute().parts
    paths = {"/".join(parts[start:]) for start in range(1, len(parts))} | {str(path.absolute()), str(path)}
    return {_plain(key) for key in (name, path.name, path.stem, *paths)}


def _plain(name: str) -> str:
    """A key as it is compared: composed characters, forward slashes, no leading `./`."""
    return unicodedata.normalize("NFC", name.strip().replace("\\", "/")).removeprefix("./")


def _read_json_lines(path: Path) -> Cells:
    if path.stat().st_size > MAX_TABLE_BYTES:
        raise CorpusError(f"{path.name} has {path.stat().st_size} bytes: a table of texts was expected")
    rows: list[dict[str, str]] = []
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path.name} is not UTF-8 (byte {error.start}): save it as UTF-8") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise CorpusError(f"{path.name}, line {number}: expected a JSON object, found {error}") from error
        if not isinstance(values, dict):
            raise CorpusError(
                f"{path.name}, line {number}: expected a JSON object, found {type(values).__name__}"
            )
        rows.append(
            {key.strip().lower(): "" if value is None else str(value) for key, value in values.items()}
        )
    columns = tuple(dict.fromkeys(column for row in rows for column in row))
    return Cells(columns, [{column: row.get(column, "") for column in columns} for row in rows])
