"""Checking tables against their schemas: all problems in one error, the first ones by clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mer.clips import CorpusEntry
from mer.errors import CorpusError
from mer.media.sniff import printable
from mer.validation.magnitude import is_bearable

if TYPE_CHECKING:
    from mer.quality.measure import ClipQuality

PROBLEMS_SHOWN = 10


def check_corpus(entries: Sequence[CorpusEntry], emotions: Sequence[str]) -> None:
    """Check the rows of a corpus: names and media unique, labels of the set and in range, splits and folds sound.

    Raises:
        CorpusError: no rows, or all problems with their clips.
    """
    import pandas as pd

    from mer.validation.schemas import corpus_schema

    table = pd.DataFrame(
        {
            "name": [printable(entry.name) for entry in entries],  # tables hold UTF-8 alone
            "media": [printable(str(entry.media)) for entry in entries],
            "emotion": pd.Series([entry.emotion for entry in entries], dtype=object),
            "valence": _numbers([entry.valence for entry in entries]),
            "speaker": pd.Series([entry.speaker for entry in entries], dtype=object),
            "transcript": pd.Series([entry.transcript for entry in entries], dtype=object),
            "split": [str(entry.split) for entry in entries],
            "fold": _numbers([entry.fold for entry in entries]),
        }
    )
    _check(table, corpus_schema(emotions), "the corpus", "name")


def check_features(
    clip_ids: Sequence[str], values: NDArray[Any], offsets: NDArray[np.int64], present: NDArray[np.bool_]
) -> None:
    """Check features of clips, as `mer.features.shard.Shard` and `mer.features.dataset.RaggedTable` hold them.

    Args:
        clip_ids: one per clip.
        values: (sum of T, ...) of any real type.
        offsets: (clips + 1,) clip i has rows offsets[i]..offsets[i + 1] - 1.
        present: (clips,).

    Raises:
        CorpusError: parts of different lengths, or all problems with their clips: ids that repeat, clips without
            rows, values that are not finite or beyond all measure, absent clips with values.
    """
    import pandas as pd

    from mer.validation.schemas import feature_schema

    if len(offsets) != len(clip_ids) + 1 or len(present) != len(clip_ids) or offsets[-1] != len(values):
        raise CorpusError(
            f"features: expected {len(clip_ids) + 1} offsets that end at {len(values)} and {len(clip_ids)} marks of "
            f"presence, found {len(offsets)} offsets and {len(present)} marks: extract them again"
        )
    rows = values.reshape(len(values), -1)
    table = pd.DataFrame(
        {
            "clip_id": list(clip_ids),
            "offset": np.asarray(offsets[:-1], dtype=np.int64),
            "length": np.diff(offsets).astype(np.int64),
            "present": np.asarray(present, dtype=bool),
            "finite": _of_clips(is_bearable(rows).all(axis=1), offsets),
            "zero": _of_clips((rows == 0).all(axis=1), offsets),
        }
    )
    _check(table, feature_schema(), "the features", "clip_id")


def check_quality(measured: Mapping[str, ClipQuality]) -> None:
    """Check measurements of clips, by clip id.

    Raises:
        CorpusError: no rows, or all problems with their clips.
    """
    import pandas as pd

    from mer.validation.schemas import quality_schema

    rows = [{"clip_id": clip_id, **asdict(quality)} for clip_id, quality in measured.items()]
    table = pd.DataFrame(rows)
    numeric = [column for column in table.columns if column != "clip_id"]
    _check(table.astype(dict.fromkeys(numeric, float)), quality_schema(), "the quality of clips", "clip_id")


def _check(table: Any, schema: Any, what: str, named_by: str) -> None:
    from pandera.errors import SchemaErrors

    if table.empty:
        raise CorpusError(f"{what}: expected at least one clip, found none")
    try:
        schema.validate(table, lazy=True)
    except SchemaErrors as error:
        problems = _problems(error.failure_cases, table[named_by])
        rest = f"\n  and {len(problems) - PROBLEMS_SHOWN} more" if len(problems) > PROBLEMS_SHOWN else ""
        raise CorpusError(
            f"{what} cannot be used:\n  " + "\n  ".join(problems[:PROBLEMS_SHOWN]) + rest
        ) from None


def _problems(cases: Any, names: Any) -> list[str]:
    """One line per clip and rule that is broken, in the order of the table."""
    lines: dict[tuple[int, str, str], str] = {}
    for case in cases.to_dict("records"):
        row = case["index"]
        if row is None or row != row:  # a rule about the whole column (its type, its absence)
            lines.setdefault(
                (-1, str(case["column"]), str(case["check"])), f"{case['column']}: {case['check']}"
            )
            continue
        rule = str(case["check"]).replace("field_uniqueness", "occurs once")
        value = case["failure_case"]
        # a rule about the row as a whole, or a mark we computed, has no value worth telling
        telling = case["schema_context"] == "Column" and not isinstance(value, bool | np.bool_)
        column = str(case["column"]) if telling else ""
        message = (
            f"{column}: expected: {rule}, found {printable(str(value))[:80]!r}"
            if telling
            else f"expected: {rule}"
        )
        lines.setdefault((int(row), column, rule), f"clip {printable(str(names.iloc[int(row)]))}: {message}")
    return [lines[key] for key in sorted(lines)]


def _numbers(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _of_clips(of_rows: Any, offsets: NDArray[np.int64]) -> list[bool]:
    """Whether it holds for all rows of a clip; `of_rows`: bool (sum of T,)."""
    return [bool(of_rows[begin:end].all()) for begin, end in pairwise(offsets)]
