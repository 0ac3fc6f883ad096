"""Votes in label tables: several rows a clip with a column `annotator`, or a column of counts for every class.

The label of a clip is the emotion with most votes; without one alone in the first place it has none. Its valence is the mean of
those that were judged. The votes themselves are kept beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mer.corpora.cell_numbers import number_of
from mer.corpora.columns import SYNONYMS, column_key
from mer.corpora.near_names import without_folders
from mer.corpora.options import LabelMap
from mer.corpora.rows import LabelRow
from mer.corpora.table_file import Cells
from mer.emotions import EMOTION_WORDS, canonical_emotion, folded_label
from mer.errors import CorpusError
from mer.votes.vote import Vote, majority, mean_valence

_LEAST_COLUMNS = 2
"""Columns of counts that make a table one of votes."""
COUNTED = "emotion"


@dataclass(frozen=True)
class CountedTable:
    """A table whose columns of counts, if it has some, became one column of labels."""

    cells: Cells
    votes: tuple[tuple[Vote, ...], ...] = ()
    """Of each row; empty: the table counts no votes."""
    notes: tuple[str, ...] = ()


def counted_votes(cells: Cells, table: str, emotions: Sequence[str], label_map: LabelMap) -> CountedTable:
    """Put the label with most votes in the place of columns of counts (`neutral,angry,happy,...`).

    A table with a column of labels, or of annotators, keeps its columns as they are.

    Args:
        cells: as read.
        table: what messages call it.
        emotions: classes that a column may be called after; empty: the words of emotions.
        label_map: names of columns -> classes; None: not counted.

    Raises:
        CorpusError: a count that is no number of 0 or more; all of a table at once.
    """
    columns = _counted_columns(cells, emotions, label_map)
    if len(columns) < _LEAST_COLUMNS:
        return CountedTable(cells)
    problems, votes, rows = [], [], []
    for index, row in enumerate(cells.rows):
        own = []
        for column, emotion in columns.items():
            try:
                count = number_of(row.get(column, "")) or 0.0
                if count < 0:
                    raise CorpusError(f"{row[column]!r} is less than 0")
            except CorpusError as error:
                problems.append(f"row {cells.line(index)}, column {column}: {error}")
                continue
            if count:
                own.append(Vote(annotator=None, emotion=emotion, weight=count))
        votes.append(tuple(own))
        rest = {column: value for column, value in row.items() if column not in columns}
        rows.append({**rest, COUNTED: majority(own) or ""})
    if problems:
        raise CorpusError(
            f"{table}: expected numbers of votes in the columns {', '.join(columns)}, found:\n  "
            + "\n  ".join(problems[:10])
        )
    names = (*(column for column in cells.columns if column not in columns), COUNTED)
    note = f"votes of {table}: counted by class in the columns {', '.join(columns)}"
    return CountedTable(replace(cells, columns=names, rows=rows), tuple(votes), (note,))


def _counted_columns(cells: Cells, emotions: Sequence[str], label_map: LabelMap) -> dict[str, str]:
    keys = {column_key(column) for column in cells.columns}
    if keys & {"emotion", "annotator", *SYNONYMS["emotion"], *SYNONYMS["annotator"]}:
        return {}
    found: dict[str, str] = {}
    for column in cells.columns:
        emotion = _class_of(column, emotions, label_map)
        if emotion is not None and emotion not in found.values():
            found[column] = emotion
    return found


def _class_of(column: str, emotions: Sequence[str], label_map: LabelMap) -> str | None:
    for spelling in (column, folded_label(column)):
        if spelling in label_map:
            return label_map[spelling]
    if not emotions:
        return folded_label(column) if folded_label(column) in EMOTION_WORDS else None
    try:
        return canonical_emotion(column, emotions)
    except CorpusError:
        return None


def merged_votes(
    rows: Sequence[LabelRow], cells: Cells, counted: CountedTable, table: str
) -> tuple[list[LabelRow], list[str]]:
    """One row a clip, with its votes and the label that follows from them.

    Rows of one clip that disagree on anything but the labels are left as they are: they contradict each other.

    Args:
        rows: typed, as many as `cells` has.
        cells: under the known names of columns.
        counted: what was counted by class.
        table: what messages call it.

    Raises:
        CorpusError: a weight that is no number of 0 or more.
    """
    if counted.votes:
        merged = [
            replace(row, votes=() if row.hidden else votes)
            for row, votes in zip(rows, counted.votes, strict=True)
        ]
        return merged, [*counted.notes, *_about_ties(merged)]
    if "annotator" not in cells.columns:
        return list(rows), []
    groups: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        key = row.path if row.path and row.name == without_folders(row.path) else row.name
        groups.setdefault(key, []).append(index)
    found: list[LabelRow] = []
    for indices in groups.values():
        same = [rows[index] for index in indices]
        whole = _merged(same, _votes_of([(rows[i], cells.rows[i], cells.line(i)) for i in indices], table))
        found += [whole] if whole is not None else same
    annotators = {row.get("annotator") for row in cells.rows} - {""}
    note = f"votes of {table}: {len(rows)} rows of {len(annotators)} annotators on {len(groups)} clips"
    return found, [note, *_about_ties(found)]


def _votes_of(rows: Sequence[tuple[LabelRow, Mapping[str, str], int]], table: str) -> tuple[Vote, ...]:
    """Votes of one clip; several emotions of an annotator without weights share one vote, and a repeated row counts once."""
    distinct: dict[tuple[str, str | None, float | None], float | None] = {}
    for row, cells, line in rows:
        who = cells.get("annotator", "")
        if row.emotion is None and row.valence is None:
            continue
        try:
            weight = number_of(cells.get("weight", ""))
            if weight is not None and weight < 0:
                raise CorpusError(f"{cells['weight']!r} is less than 0")
        except CorpusError as error:
            raise CorpusError(f"{table}, row {line}: weight of a vote: {error}") from error
        unnamed = who or f"#{line}"  # every row without a name is somebody else
        distinct[unnamed, row.emotion, row.valence] = weight
    times = Counter(who for who, emotion, _ in distinct if emotion is not None)
    return tuple(
        Vote(
            annotator=None if who.startswith("#") else who,
            emotion=emotion,
            weight=1 / max(1, times[who]) if weight is None else weight,
            valence=valence,
        )
        for (who, emotion, valence), weight in distinct.items()
    )


def _merged(rows: Sequence[LabelRow], votes: tuple[Vote, ...]) -> LabelRow | None:
    """The row of a clip; None: its rows contradict each other in what is no label."""
    known: dict[str, object] = {}
    for field in ("path", "speaker", "transcript", "split", "part", "fold"):
        values = {value for row in rows if (value := getattr(row, field)) is not None}
        if len(values) > 1:
            return None
        known[field] = next(iter(values), None)
    return replace(
        rows[0],
        **known,  # type: ignore[arg-type]  # fields of the row under their names
        emotion=majority(votes),
        valence=mean_valence(votes),
        votes=votes,
    )


def _about_ties(rows: Sequence[LabelRow]) -> list[str]:
    ties = [
        row.name for row in rows if row.votes and row.emotion is None and any(v.emotion for v in row.votes)
    ]
    if not ties:
        return []
    shown = ", ".join(ties[:3]) + (", ..." if len(ties) > 3 else "")
    return [f"{len(ties)} clips have no emotion with most votes, and are unlabelled: {shown}"]
