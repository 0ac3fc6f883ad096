"""Which values a feature may have: finite, and of a size that sums of squares in float32 bear."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_MAGNITUDE = 1e15
"""Largest absolute value of a feature.

Statistics and losses square features and add the squares of all rows: of 1e15, those of 1e8 rows still are a float32 (3.4e38).
The largest honest features known (openSMILE's errors of regressions of the spectral variance, in Hz to the fourth) reach 1e13.
"""


def is_bearable(values: NDArray[Any]) -> NDArray[np.bool_]:
    """True where a value is finite and within `MAX_MAGNITUDE`; of the shape of `values`, which are of any real type."""
    if values.dtype.kind != "f":
        return np.ones(values.shape, dtype=bool)
    if values.dtype == np.float16:  # which ends at 65504
        return np.asarray(np.isfinite(values))
    return np.asarray(np.abs(values) <= MAX_MAGNITUDE)  # false for NaN too


def first_unbearable(values: NDArray[Any]) -> str:
    """What is wrong with the first value that is not bearable, for people: `NaN`, `infinity` or the number."""
    value = float(values[~is_bearable(values)][0])
    if np.isnan(value):
        return "NaN"
    return "infinity" if np.isinf(value) else f"{value:g}"
