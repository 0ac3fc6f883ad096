"""Mean squared differences between rows of features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def mean_squared_differences(rows: Floats, learnt: Floats) -> Floats:
    """(R, T) mean squared difference of (R, D) rows to (T, D) ones, not negative."""
    # |a - b|^2 = |a|^2 - 2 a.b + |b|^2 costs one product of matrices; small negatives from rounding are cut below
    products = rows @ learnt.T
    products *= np.float32(-2 / rows.shape[1])
    products += np.square(rows).mean(axis=1)[:, None]
    products += np.square(learnt).mean(axis=1)[None]
    return np.asarray(np.maximum(products, 0, out=products))
