"""What the quality columns of a corpus say as a whole: how each is distributed, and which clips are worst by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mer.quality.measure import ClipQuality

COLUMNS = ("duration_seconds", "speech_seconds", "snr_db", "face_share", "brightness")
"""The columns, in the order in which they are shown; low values are the bad ones in all of them."""


@dataclass(frozen=True)
class ColumnSummary:
    """Distribution of one column over the clips of a corpus; None throughout where no clip has a value."""

    column: str
    clips: int
    """Clips with a value."""
    missing: int
    """Clips without: no such stream, nothing to measure, or not measured at all."""
    minimum: float | None
    lower_quartile: float | None
    median: float | None
    upper_quartile: float | None
    maximum: float | None


def summaries(measured: Mapping[str, ClipQuality | None]) -> tuple[ColumnSummary, ...]:
    """The distribution of every column; `measured` has clip name -> quality, None of clips that are not measured."""
    made = []
    for column in COLUMNS:
        values = list(_values(measured, column).values())
        quartiles = np.quantile(values, [0, 0.25, 0.5, 0.75, 1]).tolist() if values else [None] * 5
        made.append(ColumnSummary(column, len(values), len(measured) - len(values), *quartiles))
    return tuple(made)


def worst_clips(
    measured: Mapping[str, ClipQuality | None], column: str, count: int
) -> tuple[tuple[str, float], ...]:
    """(name, value) of the clips with the lowest values of a column, the worst first; equal ones by name."""
    values = _values(measured, column)
    return tuple(
        (name, values[name]) for name in sorted(values, key=lambda name: (values[name], name))[:count]
    )


def _values(measured: Mapping[str, ClipQuality | None], column: str) -> dict[str, float]:
    """Clip name -> value, of the clips that have one."""
    values = {name: getattr(quality, column, None) for name, quality in measured.items()}
    return {name: float(value) for name, value in values.items() if value is not None}
