"""A protocol as it is written down: tables with folds or splits, EmoBox's and MERTools' lists, or the entries of a corpus."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mer.audit.parts import TEST_WORDS, TRAIN_WORDS, ListedClip, Part, fold_parts
from mer.clips import CorpusEntry, Split
from mer.corpora.table_file import read_cells
from mer.errors import CorpusError

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "name": ("name", "key", "path", "wav", "file", "filename", "clip", "video"),
    "speaker": ("speaker", "speaker_id", "spk", "actor", "subject"),
    "source": ("source", "film", "movie", "dialogue", "dialogue_id", "session", "recording"),
    "emotion": ("emotion", "emo", "discrete", "label"),
    "fold": ("fold",),
    "split": ("split", "partition", "set", "mode"),
    "content": ("sha256", "md5", "hash"),
}
"""What a column says -> what it may be called, the first that is there counts."""
_FOLD_FILE = re.compile(r"(?P<role>train|valid|val|dev|test)_fold_?(?P<fold>\d+)", re.IGNORECASE)
_FROM_NAME = (
    re.compile(r"^(dia\d+)_utt\d+", re.IGNORECASE),
    re.compile(r"^(Ses\d\d[FM]_[A-Za-z0-9_]+?)_[FM]\d+$"),
)
"""Names that tell the dialogue: MELD, IEMOCAP."""


@dataclass(frozen=True)
class Protocol:
    """N clips, and the parts in which they are learnt from or tested."""

    clips: tuple[ListedClip, ...]
    parts: tuple[Part, ...]

    def dealt(self, clips: Sequence[ListedClip]) -> Protocol:
        """The same parts of the clips of a corpus, by name; clips that the list does not name take no part.

        Raises:
            CorpusError: it names none of them.
        """
        rows = {clip.name: row for row, clip in enumerate(self.clips)}
        found = [rows.get(clip.name, -1) for clip in clips]
        if max(found, default=-1) < 0:
            raise CorpusError(
                f"audit: expected a list of clips of the corpus ({clips[0].name}, ...), found {self.clips[0].name}, ...: "
                "names are those of files without folder and suffix"
            )
        row = np.array(found, dtype=np.int64)
        parts = tuple(
            Part(part.title, (row >= 0) & part.train[row], (row >= 0) & part.test[row]) for part in self.parts
        )
        known = tuple(
            clip if at < 0 else _completed(clip, self.clips[at])
            for clip, at in zip(clips, found, strict=True)
        )
        return Protocol(known, parts)


def _completed(clip: ListedClip, listed: ListedClip) -> ListedClip:
    """A clip of a corpus with what only the list knows of it; the recording is the list's, as corpora name none."""
    return replace(
        clip,
        speaker=clip.speaker or listed.speaker,
        source=listed.source or clip.source,
        emotion=clip.emotion or listed.emotion,
    )


def clips_of_entries(entries: Sequence[CorpusEntry]) -> tuple[ListedClip, ...]:
    """The clips of a recognised corpus."""
    return tuple(
        ListedClip(entry.name, entry.speaker or "", _source_of(entry.name), entry.emotion or "")
        for entry in entries
    )


def protocol_of_entries(entries: Sequence[CorpusEntry]) -> Protocol:
    """How a recognised corpus deals its clips: its published folds, its training and test clips. Raises CorpusError."""
    words = {Split.TRAIN: "train", Split.TEST: "test"}
    splits = [words.get(entry.split, "") for entry in entries]
    return Protocol(clips_of_entries(entries), tuple(fold_parts([entry.fold for entry in entries], splits)))


def read_protocol(path: Path) -> Protocol:
    """Read a list: a table (.csv, .tsv, .xlsx, .parquet), lines of JSON, or a folder of EmoBox's fold files.

    Raises:
        CorpusError: no names, neither folds nor splits, or a file that cannot be read.
    """
    files = sorted(path.rglob("*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise CorpusError(
            f"audit: expected lists below {path} (EmoBox: fold_1/*_train_fold_1.jsonl ...), found none"
        )
    rows: list[dict[str, str]] = []
    for file in files:
        rows += (
            _lines(file) if file.suffix.lower() == ".jsonl" else [dict(row) for row in read_cells(file).rows]
        )
    if not rows:
        raise CorpusError(f"audit: expected clips in {path}, found none")
    return _protocol(rows, path)


def _protocol(rows: Sequence[Mapping[str, str]], path: Path) -> Protocol:
    known = {
        said: next((column for column in names if any(column in row for row in rows)), "")
        for said, names in COLUMNS.items()
    }
    if not known["name"] or not (known["fold"] or known["split"]):
        raise CorpusError(
            f"audit: expected columns name and fold, or name and split, in {path.name}, found {', '.join(rows[0])}"
        )
    clips, folds, splits = [], [], []
    for row in rows:
        said = {what: row.get(column, "").strip() for what, column in known.items()}
        name = (
            Path(said["name"].replace("\\", "/")).stem
            if "/" in said["name"] or "." in said["name"]
            else said["name"]
        )
        clips.append(
            ListedClip(
                name, said["speaker"], said["source"] or _source_of(name), said["emotion"], said["content"]
            )
        )
        folds.append(_number(said["fold"], path))
        splits.append(said["split"].lower())
    return _dealt(clips, folds, splits)


def _dealt(clips: Sequence[ListedClip], folds: Sequence[int | None], splits: Sequence[str]) -> Protocol:
    """Where a clip is listed once a fold, as EmoBox does, its lines are one clip, and each fold has its own two lists."""
    by_lists = any(
        fold is not None and split in TEST_WORDS for fold, split in zip(folds, splits, strict=True)
    )
    if not by_lists:
        return Protocol(tuple(clips), tuple(fold_parts(folds, splits)))
    rows: dict[str, int] = {}
    first: list[ListedClip] = []
    for clip in clips:
        if clip.name not in rows:
            rows[clip.name] = len(rows)
            first.append(clip)
    numbers = sorted({fold for fold in folds if fold is not None})
    parts = {fold: (np.zeros(len(rows), np.bool_), np.zeros(len(rows), np.bool_)) for fold in numbers}
    for clip, fold, split in zip(clips, folds, splits, strict=True):
        if fold is not None and split in TRAIN_WORDS | TEST_WORDS:
            parts[fold][split in TEST_WORDS][rows[clip.name]] = True
    return Protocol(tuple(first), tuple(Part(f"fold {fold}", *masks) for fold, masks in parts.items()))


def _lines(path: Path) -> list[dict[str, str]]:
    found = _FOLD_FILE.search(path.stem)
    by_file = {"fold": found["fold"], "split": found["role"].lower()} if found else {}
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            value: Any = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise CorpusError(
                f"audit: {path.name}, line {number}: expected an object of JSON: {error}"
            ) from error
        if not isinstance(value, dict):
            raise CorpusError(
                f"audit: {path.name}, line {number}: expected an object of JSON, found {line[:60]!r}"
            )
        rows.append({**{key: str(item) for key, item in value.items()}, **by_file})
    return rows


def _number(text: str, path: Path) -> int | None:
    if not text:
        return None
    digits = re.fullmatch(r"(?:fold[_ ]?)?(\d+)(?:\.0)?", text, re.IGNORECASE)
    if digits is None:
        raise CorpusError(f"audit: {path.name}: expected the number of a fold, found {text!r}")
    return int(digits[1])


def _source_of(name: str) -> str:
    return next((found[1] for pattern in _FROM_NAME if (found := pattern.match(name))), "")
