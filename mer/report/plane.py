"""Clips in a plane: the two directions in which vectors differ most (principal components, known)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def principal_plane(values: NDArray[np.floating]) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Places of N vectors in the plane of their first two principal components.

    Columns are standardised first; one that is constant counts nothing. The sign of a component, which is arbitrary, is that of
    its entry of largest magnitude.

    Args:
        values: (N, D) finite vectors.

    Returns:
        (N, 2) places, and the share of the variance along each direction; zeros where nothing differs.
    """
    centred = np.asarray(values, dtype=np.float64)
    centred = centred - centred.mean(axis=0) if len(centred) else centred
    spread = centred.std(axis=0) if len(centred) else np.zeros(centred.shape[1])
    standard = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 1e-12)
    places = np.zeros((len(standard), 2))
    if not standard.any():
        return places, (0.0, 0.0)
    left, sizes, right = np.linalg.svd(standard, full_matrices=False)
    for number in range(min(2, len(sizes))):
        sign = np.sign(right[number, np.abs(right[number]).argmax()]) or 1.0
        places[:, number] = sign * left[:, number] * sizes[number]
    shares = [*(sizes**2 / (sizes**2).sum()).tolist(), 0.0]
    return places, (float(shares[0]), float(shares[1]))
