"""Cells of a label table -> typed rows; every problem of the table is collected before one is reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mer.clips import Split
from mer.corpora.cell_numbers import fold_of
from mer.corpora.near_names import without_folders
from mer.corpora.options import LabelMap, ReadingOptions
from mer.corpora.splits import ABOUT_VALIDATION, EXPECTED, is_validation, split_of
from mer.corpora.table_file import Cells
from mer.corpora.unknown_labels import how_to_map
from mer.corpora.valence_scale import ValenceOutside, on_our_scale
from mer.emotions import canonical_emotion, folded_label
from mer.errors import CorpusError
from mer.votes.vote import Vote

_NO_LABEL = frozenset({"none", "null", "na", "n/a", "#n/a", "-"})
"""Cells, in lower case, that say that there is no label, unless the emotion set or the label map has them."""
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
    votes: tuple[Vote, ...] = ()
    """What annotators said, where several were asked."""

    @property
    def hidden(self) -> bool:
        """True for a clip that is unlabelled on purpose: what a table says of its labels is a filler."""
        return self.split is Split.UNLABELLED

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
    problems: Sequence[str] = (),
) -> tuple[list[LabelRow], list[str]]:
    """Type all rows; returns them with notes on mapped labels and validation parts.

    `locations` says where each row stands, for errors; by default its line in the table. `problems` of the table as a whole are
    reported with those of its cells.

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
    scale_unknown = bool(problems)  # what the table as a whole does not say is said once, not of every row
    problems = list(problems)
    mapped: Counter[tuple[str, str]] = Counter()
    rows: list[LabelRow] = []
    unknown: Counter[str] = Counter()
    for index, values in enumerate(cells.rows):
        try:
            rows.append(_parse(values, emotions, options, mapped))
        except CorpusError as error:
            if isinstance(error, UnknownEmotion):
                unknown[error.label] += 1
                if unknown.total() > _UNKNOWN_SHOWN:
                    continue
            elif isinstance(error, ValenceOutside) and scale_unknown:
                continue
            location = locations[index] if locations else f"row {cells.line(index)}"
            problems.append(f"{location}: {error}")
    if unknown:
        problems.insert(0, how_to_map(unknown, emotions))
    if problems:
        more = f"\n  and {len(problems) - _PROBLEMS_SHOWN} more" if len(problems) > _PROBLEMS_SHOWN else ""
        raise CorpusError(f"{table} cannot be used:\n  " + "\n  ".join(problems[:_PROBLEMS_SHOWN]) + more)
    notes = [
        f"label {label!r} -> {emotion} ({count} rows)" for (label, emotion), count in sorted(mapped.items())
    ]
    validation = Counter(text for row in cells.rows if is_validation(text := row.get("split", "")))
    notes += [
        f"split {text!r} ({count} rows) {ABOUT_VALIDATION}" for text, count in sorted(validation.items())
    ]
    seen = {
        form
        for row in cells.rows
        if (label := row.get("emotion", ""))
        for form in (label, folded_label(label))
    }
    if unused := [label for label in options.label_map if label not in seen]:
        notes.append(f"label map: {', '.join(unused)} not among the labels")
    return rows, notes


def _parse(
    values: dict[str, str], emotions: Sequence[str], options: ReadingOptions, mapped: Counter[tuple[str, str]]
) -> LabelRow:
    path = values.get("path") or None
    name = values.get("name") or (without_folders(path) if path else "")
    if not name:
        raise CorpusError("the name is empty")
    split = split_of(values.get("split", ""))
    if split is None:
        raise CorpusError(f"unknown split {values['split']!r}: expected {EXPECTED}")
    emotion = _emotion(values.get("emotion", ""), emotions, options.label_map, mapped)
    hidden = split[0] is Split.UNLABELLED  # a filler label of an unlabelled clip is no label
    return LabelRow(
        name=name,
        path=path,
        emotion=None if hidden else emotion,
        valence=None if hidden else on_our_scale(values.get("valence", ""), options.valence_scale),
        speaker=values.get("speaker") or None,
        transcript=values.get("transcript") or None,
        split=split[0],
        part=split[1],
        fold=fold_of(values.get("fold", "")),
    )


def _emotion(
    label: str, emotions: Sequence[str], label_map: LabelMap, mapped: Counter[tuple[str, str]]
) -> str | None:
    if label.lower() in {"", "nan"}:
        return None
    if label in label_map:
        emotion = label_map[label]
    elif (folded := folded_label(label)) in label_map:
        emotion = label_map[folded]
    elif label.lower() in _NO_LABEL and label.lower() not in emotions:
        emotion = None
    else:
        try:
            emotion = canonical_emotion(label, emotions)
        except CorpusError as error:
            raise UnknownEmotion(label, str(error)) from error
    if emotion != label:
        mapped[label, emotion or "no label"] += 1
    return emotion
