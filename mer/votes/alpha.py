"""Krippendorff's alpha: agreement beyond chance of any number of annotators, with missing values.

Source (known): K. Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011, section C: the coincidence matrix
o[c, k] = sum over units of (pairs of values c and k in the unit) / (values in the unit - 1), and
alpha = 1 - (n - 1) * sum(o[c, k] * d[c, k]) / sum(n[c] * n[k] * d[c, k]), d being a squared difference by level of measurement.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError

Floats = NDArray[np.float64]
Level = Literal["nominal", "ordinal", "interval", "ratio"]


def krippendorff_alpha(ratings: NDArray[np.floating], level: Level = "nominal") -> float:
    """Alpha of annotators' values.

    Args:
        ratings: (annotators, units) values as numbers; NaN where an annotator did not judge a unit.
        level: of measurement: what differences between values mean.

    Returns:
        1 for perfect agreement, 0 for that of chance; NaN where nothing can be said (no unit with two values, or all are equal).

    Raises:
        ConfigError: not two axes, an infinite value, an unknown level, or negative values under `ratio`.
    """
    values = np.asarray(ratings, dtype=np.float64)
    if values.ndim != 2 or np.isinf(values).any():
        raise ConfigError(
            f"alpha: expected finite values of shape (annotators, units), NaN for missing ones, found shape {values.shape}"
        )
    known = np.unique(values[~np.isnan(values)])
    counts = (values[None] == known[:, None, None]).sum(axis=1).T  # (units, values)
    return alpha_of_counts(counts.astype(np.float64), known, level)


def alpha_of_counts(counts: Floats, values: Floats, level: Level = "nominal") -> float:
    """Alpha where only is known how often each value was given to a unit.

    Args:
        counts: (units, V) annotators who gave the value; whole numbers.
        values: (V,) the values, growing; under `nominal` any numbers.
        level: of measurement.

    Raises:
        ConfigError: counts that are negative or no whole numbers, shapes that do not fit, an unknown level, or negative values
            under `ratio`.
    """
    if counts.ndim != 2 or counts.shape[1] != len(values) or (counts < 0).any() or (counts % 1).any():
        raise ConfigError(
            f"alpha: expected whole counts of shape (units, {len(values)}), found shape {counts.shape} or others"
        )
    in_unit = counts.sum(axis=1)
    counts = counts[in_unit > 1]  # a single value is paired with none
    if not len(counts):
        return float("nan")
    pairing = 1 / (counts.sum(axis=1) - 1)
    coincidence = (counts * pairing[:, None]).T @ counts - np.diag((counts * pairing[:, None]).sum(axis=0))
    margin = coincidence.sum(axis=1)
    difference = _squared_difference(values, margin, level)
    expected = float(margin @ difference @ margin)
    if expected == 0:
        return float("nan")
    return 1 - (float(margin.sum()) - 1) * float((coincidence * difference).sum()) / expected


def _squared_difference(values: Floats, margin: Floats, level: Level) -> Floats:
    """(V, V) squared differences, zero on the diagonal."""
    apart = values[:, None] - values[None]
    if level == "nominal":
        return np.asarray(apart != 0, dtype=np.float64)
    if level == "interval":
        return np.asarray(apart**2)
    if level == "ratio":
        if (values < 0).any():
            raise ConfigError("alpha: ratio values are 0 or more")
        total = values[:, None] + values[None]
        return np.asarray((apart / np.where(total > 0, total, 1)) ** 2)
    if level == "ordinal":
        reached = np.cumsum(margin)  # values up to and with this rank
        middle = reached - margin / 2
        return np.asarray((middle[:, None] - middle[None]) ** 2)
    raise ConfigError(f"alpha: expected nominal, ordinal, interval or ratio, found {level!r}")
