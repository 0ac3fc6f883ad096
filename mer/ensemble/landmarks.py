"""Ridge regression in a kernel's space through landmarks, for more clips than an exact solution is affordable for.

Known (Nystroem; subset of regressors): the solution is sought among combinations of M clips, and fitted on all N:

    features = k(clips, landmarks) L^-T with L L^T = K'(landmarks),   (features^T W features + penalty) b = features^T W y

Groups of clips are left out exactly, too: what they add to both sides is taken off.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mer.ensemble.ridge import BIAS, LeftOut

_JITTER = 1e-5
"""On the diagonal of the landmarks' kernel, which is 1: clips that are nearly equal are nearly one landmark."""

Floats = NDArray[np.floating]


def landmark_ridge(
    kernel: Floats,
    landmarks: NDArray[np.int64],
    target: Floats,
    weight: Floats,
    penalty: float,
    group: NDArray[np.int64],
) -> LeftOut:
    """Dual coefficients (M, K) of the landmarks, and answers (N, K) of the fits without each clip's group.

    Args:
        kernel: (N, M) of all clips with the landmarks.
        landmarks: (M,) rows of the landmarks among the clips.
        target: (N, K).
        weight: (N,) positive.
        penalty: positive.
        group: (N,) number of each clip's group.
    """
    from scipy.linalg import cho_factor, cho_solve, solve_triangular

    among = kernel[landmarks].astype(np.float64) + BIAS
    count = len(landmarks)
    among[np.arange(count), np.arange(count)] += _JITTER
    lower = np.linalg.cholesky((among + among.T) / 2)
    features = solve_triangular(lower, kernel.T.astype(np.float64) + BIAS, lower=True, check_finite=False).T
    groups = np.unique(group)
    grams = {number: _gram(features, target, weight, group == number) for number in groups}
    gram, products = (sum(one[place] for one in grams.values()) for place in (0, 1))

    def solved(left: Floats, right: Floats) -> Floats:
        system = np.array(left)
        system[np.arange(count), np.arange(count)] += penalty
        return np.asarray(cho_solve(cho_factor(system, lower=True, overwrite_a=True), right))

    answers = np.empty((len(features), target.shape[1]))
    for number in groups:
        rows = group == number
        answers[rows] = features[rows] @ solved(gram - grams[number][0], products - grams[number][1])
    dual = solve_triangular(lower, solved(np.asarray(gram), np.asarray(products)), lower=True, trans="T")
    return LeftOut(np.asarray(dual), answers)


def _gram(features: Floats, target: Floats, weight: Floats, rows: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    weighed = features[rows] * weight[rows, None]
    return weighed.T @ features[rows], weighed.T @ target[rows]
