"""Columns of label tables as people call them -> the columns that rows are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from mer.corpora.splits import split_of
from mer.corpora.table_file import Cells
from mer.errors import CorpusError

COLUMNS = (
    "name",
    "path",
    "emotion",
    "valence",
    "speaker",
    "transcript",
    "split",
    "fold",
    "annotator",
    "weight",
)
"""What a row can say."""

SYNONYMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "name": (
            "filename", "file", "file_name", "wav", "wav_name", "wavfile", "clip", "clip_name", "clip_id", "video_name",
            "audio_name", "utterance_id", "utt_id", "segment_id", "sample", "sample_id", "stem", "datei", "dateiname",
        ),
        "path": (
            "filepath", "file_path", "wav_path", "audio_path", "video_path", "media_path", "clip_path", "relative_path",
            "pfad", "dateipfad",
        ),
        "emotion": ("label", "emotion_label", "emo", "discrete", "class", "emotion_class", "emotion_name", "category", "klasse"),
        "valence": ("val", "valence_mean", "mean_valence", "valence_score", "valenz"),
        "speaker": (
            "subject", "speaker_id", "actor", "participant", "spk", "spk_id", "subject_id", "actor_id", "participant_id",
            "person", "person_id", "speaker_name", "sprecher", "sprecherin", "proband", "versuchsperson", "teilnehmer",
        ),
        "transcript": (
            "text", "transcription", "sentence", "utterance_text", "transcripts", "subtitle", "raw_text", "transkript",
        ),
        "split": ("subset", "partition", "set", "mode", "data_split", "usage"),
        "fold": ("folds", "cv_fold", "fold_id", "fold_number"),
        "annotator": (
            "annotator_id", "annotator_name", "annotated_by", "rater", "rater_id", "coder", "coder_id", "labeller", "labeler",
            "evaluator", "evaluator_id", "worker", "worker_id", "bewerter", "annotatorin",
        ),
        "weight": ("vote_weight",),
    }
)  # fmt: skip
"""Other names of the columns, English and German, in lower case with `_` between words. Those of `COLUMNS` come first."""

_LAST_RESORTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"name": ("id", "utterance", "key"), "transcript": ("utterance",), "emotion": ("target",)}
)
"""Names that mean other things as well: asked only where there is no better column."""

_BETWEEN_WORDS = re.compile(r"[\s\-_.]+")
_SENTENCES = 0.5
"""Share of cells with blanks from which on a column `utterance` holds what is said, and no ids."""


def with_known_columns(cells: Cells, table: str) -> tuple[Cells, list[str]]:
    """The table under the names of `COLUMNS`, and notes on what was taken for what, and what is not used.

    Args:
        cells: of the table.
        table: what messages call it.

    Raises:
        CorpusError: two columns may be the same thing.
    """
    keys = {column_key(column): column for column in reversed(cells.columns)}
    taken: dict[str, str] = {}
    for known in COLUMNS:
        free = {key: column for key, column in keys.items() if column not in taken.values()}
        if column := _column_of(known, free, cells, table):
            taken[known] = column
    if "annotator" not in taken:
        taken.pop("weight", None)  # of what else, nobody says
    others = [column for column in cells.columns if column not in taken.values()]
    renamed = [f"{column} is {known}" for known, column in taken.items() if column != known]
    notes = [f"columns of {table}: {', '.join(renamed)}"] if renamed else []
    if others:
        notes.append(f"columns not used: {', '.join(others)}")
    return _renamed(cells, taken), notes


def column_key(column: str) -> str:
    """A column's name as it is looked up: lower case, `_` between words."""
    return _BETWEEN_WORDS.sub("_", column.strip().lower()).strip("_")


def _column_of(known: str, keys: Mapping[str, str], cells: Cells, table: str) -> str | None:
    """The column that is `known`, if any."""
    if known in keys:
        return keys[known]
    candidates = [keys[name] for name in SYNONYMS[known] if name in keys]
    if known == "split":  # `set` and `mode` mean other things as well
        candidates = [column for column in candidates if all(split_of(row[column]) for row in cells.rows)]
    if len(candidates) > 1 and not _equal(cells.rows, candidates):
        listed = ", ".join(f"`{column}`" for column in candidates)
        raise CorpusError(
            f"{table}: each of the columns {listed} may be the {known} of a clip: expected one of them; call the one that is "
            f"meant `{known}`"
        )
    candidates += [
        keys[name]
        for name in _LAST_RESORTS.get(known, ())
        if name in keys
        and (name != "utterance" or _sentences(cells.rows, keys[name]) == (known == "transcript"))
    ]
    return candidates[0] if candidates else None


def _equal(rows: Iterable[Mapping[str, str]], columns: Sequence[str]) -> bool:
    return all(len({row[column] for column in columns}) == 1 for row in rows)


def _sentences(rows: Sequence[Mapping[str, str]], column: str) -> bool:
    return sum(" " in row[column] for row in rows) > _SENTENCES * len(rows)


def _renamed(cells: Cells, taken: Mapping[str, str]) -> Cells:
    rows = [{known: row[column] for known, column in taken.items()} for row in cells.rows]
    return replace(cells, columns=tuple(taken), rows=rows)
