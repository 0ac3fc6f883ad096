"""Mean squared differences between rows of features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def mean_squares(rows: Floats) -> Floats:
    """(R,) mean square of (R, D) rows."""
    return np.asarray(np.square(rows).mean(axis=1))


def mean_squared_differences(rows: Floats, learnt: Floats, learnt_squares: Floats | None = None) -> Floats:
    """(R, T) mean squared difference of (R, D) rows to (T, D) ones, not negative.

    Args:
        rows: (R, D).
        learnt: (T, D).
        learnt_squares: (T,) `mean_squares` of the latter, where they are known; none: they are computed.
    """
    # |a - b|^2 = |a|^2 - 2 a.b + |b|^2 costs one product of matrices; small negatives from rounding are cut below
    products = rows @ learnt.T
    products *= np.float32(-2 / rows.shape[1])
    products += mean_squares(rows)[:, None]
    products += (mean_squares(learnt) if learnt_squares is None else learnt_squares)[None]
    return np.asarray(np.maximum(products, 0, out=products))
