"""What the tables must look like. Importing this module imports pandas and pandera (a second): do it late."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import pandera.pandas as pa

from mer.clips import Split
from mer.emotions import VALENCE_RANGE
from mer.media.sniff import MAX_NAME_BYTES


def corpus_schema(emotions: Sequence[str]) -> pa.DataFrameSchema:
    """One row a clip, as `mer.clips.CorpusEntry` has it; `emotions` is the corpus' emotion set."""
    return pa.DataFrameSchema(
        {
            "name": pa.Column(
                str,
                [
                    pa.Check(_filled, error="is not blank"),
                    pa.Check(
                        lambda names: names.map(
                            lambda name: len(name.encode("utf-8", "replace")) <= MAX_NAME_BYTES
                        ),
                        error=f"has at most {MAX_NAME_BYTES} bytes",
                    ),
                ],
                unique=True,
            ),
            "media": pa.Column(str, pa.Check(_filled, error="is not blank"), unique=True),
            "emotion": pa.Column(
                object, pa.Check.isin(emotions, error=f"is one of {', '.join(emotions)}"), nullable=True
            ),
            "valence": pa.Column(
                float,
                pa.Check.in_range(
                    *VALENCE_RANGE, error=f"lies in [{VALENCE_RANGE[0]:g}, {VALENCE_RANGE[1]:g}]"
                ),
                nullable=True,
            ),
            "speaker": pa.Column(object, pa.Check(_filled, error="is not blank"), nullable=True),
            "transcript": pa.Column(object, nullable=True),
            "split": pa.Column(str, pa.Check.isin([str(split) for split in Split])),
            "fold": pa.Column(float, pa.Check(_whole, error="is a whole number >= 0"), nullable=True),
        },
        checks=pa.Check(
            lambda table: (
                ~((table["split"] == Split.UNLABELLED) & table[["emotion", "valence"]].notna().any(axis=1))
            ),
            error="an unlabelled clip has no label",
        ),
        name="corpus",
    )


def feature_schema() -> pa.DataFrameSchema:
    """One row a clip, in the order in which their rows of values follow each other."""
    return pa.DataFrameSchema(
        {
            "clip_id": pa.Column(str, pa.Check(_filled, error="is not blank"), unique=True),
            "offset": pa.Column("int64", pa.Check.ge(0)),
            "length": pa.Column("int64", pa.Check.ge(1, error="has at least one row of values")),
            "present": pa.Column(bool),
            "finite": pa.Column(bool, pa.Check.eq(True, error="has finite values within 1e15 only")),
            "zero": pa.Column(bool),
        },
        checks=[
            pa.Check(
                lambda table: table["offset"] == table["length"].cumsum().shift(fill_value=0),
                error="begins where the clip before ends",
            ),
            pa.Check(lambda table: table["present"] | table["zero"], error="an absent clip has zeros only"),
        ],
        name="features",
    )


def quality_schema() -> pa.DataFrameSchema:
    """One row a clip, as `mer.quality.measure.ClipQuality` has it."""
    seconds = pa.Check.ge(0, error="is >= 0")
    share = pa.Check.in_range(0, 1, error="lies in [0, 1]")
    return pa.DataFrameSchema(
        {
            "clip_id": pa.Column(str, pa.Check(_filled, error="is not blank"), unique=True),
            "duration_seconds": pa.Column(float, seconds),
            "speech_seconds": pa.Column(float, seconds, nullable=True),
            "snr_db": pa.Column(float, pa.Check.in_range(-10, 60, error="lies in [-10, 60]"), nullable=True),
            "face_share": pa.Column(float, share, nullable=True),
            "brightness": pa.Column(float, share, nullable=True),
        },
        checks=pa.Check(
            lambda table: ~(table["speech_seconds"] > table["duration_seconds"] + 0.5),
            error="nobody speaks longer than the clip lasts",
        ),
        name="quality",
    )


def _filled(values: pd.Series) -> pd.Series:
    return values.map(lambda value: bool(str(value).strip()))


def _whole(values: pd.Series) -> pd.Series:
    return (values >= 0) & (values % 1 == 0)
