"""Cells of a label table -> typed rows; every problem of the table is collected before one is reported."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from mer.clips import Split
from mer.corpora.options import LabelMap, ReadingOptions
from mer.corpora.table_file import Cells
from mer.emotions import VALENCE_RANGE, canonical_emotion
from mer.errors import CorpusError

KNOWN_COLUMNS = ("name", "path", "emotion", "valence", "speaker", "transcript", "split", "fold")

_SPLITS = {
    "": Split.TRAIN, "train": Split.TRAIN, "test": Split.TEST,
    "unlabelled": Split.UNLABELLED, "unlabeled": Split.UNLABELLED, "canary": Split.CANARY,
}  # fmt: skip
_TEST_PART = re.compile(r"test[\s_-]?(\d{1,3})")
"""A named part of the test split: `test1`, `test 2`, `test_3`."""
_MISSING_NUMBERS = frozenset({"", "nan", "none", "null", "na", "n/a"})
_PROBLEMS_SHOWN = 10
_UNKNOWN_SHOWN = 3
"""Rows of unknown emotions that are shown beside their counts."""


class UnknownEmotion(CorpusError):
    """A label that is neither of the emotion set nor in the label map."""

    def __init__(self, label: str, message: str) -> None:
        super().__init__(message)
        self.label = label


@dataclass(frozen=True, kw_only=True)
class LabelRow:
    """One row of the table, typed; labels already members of the emotion set."""

    name: str
    path: str | None
    emotion: str | None
    valence: float | None
    speaker: str | None
    transcript: str | None
    split: Split
    part: str | None
    """Named part of the test split; None where the table names none."""
    fold: int | None

    @property
    def labelled(self) -> bool:
        """True if the row has a label to learn from."""
        return self.emotion is not None or self.valence is not None

    @property
    def content(self) -> tuple[object, ...]:
        """Values that must be equal in all rows of one name."""
        return (self.path, self.emotion, self.valence, self.speaker, self.split, self.part, self.fold)


def parse_rows(
    cells: Cells,
    table: str,
    emotions: Sequence[str],
    options: ReadingOptions,
    locations: Sequence[str] | None = None,
) -> tuple[list[LabelRow], list[str]]:
    """Type all rows; returns them with notes on mapped labels and ignored columns.

    `locations` says where each row stands, for errors; by default its number in the table.

    Raises:
        CorpusError: neither `name` nor `path`, no rows, or the first problems of the cells with their row
        numbers.
    """
    if not {"name", "path"} & set(cells.columns):
        raise CorpusError(
            f"{table}: expected a column `name` or `path`, found {', '.join(cells.columns) or 'no header'}"
        )
    if not cells.rows:
        raise CorpusError(f"{table} has a header and no rows")
    problems: list[str] = []
    mapped: Counter[tuple[str, str]] = Counter()
    rows: list[LabelRow] = []
    unknown: Counter[str] = Counter()
    for index, values in enumerate(cells.rows):
        try:
            rows.append(_parse(values, emotions, options.label_map, mapped))
        except CorpusError as error:
            if isinstance(error, UnknownEmotion):
                unknown[error.label] += 1
                if unknown.total() > _UNKNOWN_SHOWN:
                    continue
            location = locations[index] if locations else f"row {index + 2}"  # the header is row 1
            problems.append(f"{location}: {error}")
    if unknown:
        problems.insert(0, _how_to_map(unknown, emotions))
    if problems:
        more = f"\n  and {len(problems) - _PROBLEMS_SHOWN} more" if len(problems) > _PROBLEMS_SHOWN else ""
        raise CorpusError(f"{table} cannot be used:\n  " + "\n  ".join(problems[:_PROBLEMS_SHOWN]) + more)
    notes = [
        f"label {label!r} -> {emotion} ({count} rows)" for (label, emotion), count in sorted(mapped.items())
    ]
    if ignored := [column for column in cells.columns if column and column not in KNOWN_COLUMNS]:
        notes.append(f"columns not used: {', '.join(ignored)}")
    return rows, notes


def _parse(
    values: dict[str, str], emotions: Sequence[str], label_map: LabelMap, mapped: Counter[tuple[str, str]]
) -> LabelRow:
    path = values.get("path") or None
    name = values.get("name") or (PurePosixPath(path).stem if path else "")
    if not name:
        raise CorpusError("the name is empty")
    split, part = _split(values.get("split", ""))
    if split is None:
        raise CorpusError(f"unknown split {values['split']!r}: expected train, test, unlabelled or nothing")
    emotion = _emotion(values.get("emotion", ""), emotions, label_map, mapped)
    hidden = split is Split.UNLABELLED  # a filler label of an unlabelled clip is no label
    return LabelRow(
        name=name,
        path=path,
        emotion=None if hidden else emotion,
        valence=None if hidden else _valence(values.get("valence", "")),
        speaker=values.get("speaker") or None,
        transcript=values.get("transcript") or None,
        split=split,
        part=part,
        fold=_fold(values.get("fold", "")),
    )


def _split(text: str) -> tuple[Split | None, str | None]:
    """Split and named test part that a cell stands for; (None, None): it is neither."""
    if match := _TEST_PART.fullmatch(text.lower()):
        return Split.TEST, f"test{int(match[1])}"
    return _SPLITS.get(text.lower()), None


def _emotion(
    label: str, emotions: Sequence[str], label_map: LabelMap, mapped: Counter[tuple[str, str]]
) -> str | None:
    if label.lower() in {"", "nan"}:
        return None
    if label in label_map:
        emotion = label_map[label]
    else:
        try:
            emotion = canonical_emotion(label, emotions)
        except CorpusError as error:
            raise UnknownEmotion(label, str(error)) from error
    if emotion != label:
        mapped[label, emotion or "no label"] += 1
    return emotion


def _valence(text: str) -> float | None:
    if text.lower() in _MISSING_NUMBERS:
        return None
    low, high = VALENCE_RANGE
    try:
        value = float(text)
    except ValueError:
        raise CorpusError(f"valence {text!r} is no number") from None
    if not (math.isfinite(value) and low <= value <= high):
        raise CorpusError(
            f"valence {text} is outside [{low:g}, {high:g}]: leave the cell empty where it is missing"
        )
    return value


def _fold(text: str) -> int | None:
    if text.lower() in _MISSING_NUMBERS:
        return None
    try:
        value = float(text)  # spreadsheets write 3 as 3.0
    except ValueError:
        value = -1.0
    if not (value.is_integer() and value >= 0):
        raise CorpusError(f"fold {text!r} is no whole number >= 0")
    return int(value)


def _how_to_map(unknown: Mapping[str, int], emotions: Sequence[str]) -> str:
    counts = ", ".join(f"{label} ({count})" for label, count in sorted(unknown.items()))
    example = ",".join(f"{label}={emotions[0]}" for label in sorted(unknown)[:2])
    return (
        f"labels outside the emotion set ({', '.join(emotions)}): {counts}. Say what each is with "
        f"--label-map, e.g. {example} (LABEL= stands for no label), or use a recipe whose set has them; in Python, "
        "label_map= and emotions="
    )
