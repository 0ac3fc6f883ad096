"""The field's scores, computed from confusion counts so that thousands of bootstrap resamples cost one
matrix product.

Official (MERTools, read at source): WAF is the weighted F1; MER2023 MULTI and NOISE score `WAF - 0.25 *
MSE(valence)`. All functions of counts take (..., C, C) arrays, rows = truth, columns = prediction, and
return (...) or (..., C).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError

Floats = NDArray[np.float64]
VALENCE_PENALTY = 0.25
"""Weight of the valence error in the MER2023 combined score."""


def confusion(truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """(C, C) counts: rows truth, columns prediction.

    Raises:
        ConfigError: no clips, lengths differ, names instead of indices, or an index outside 0 .. classes-1 (an unlabelled
            clip is no evidence).
    """
    if len(truth) != len(predicted) or len(truth) == 0:
        raise ConfigError(
            f"scores: expected labels and as many predictions, found {len(truth)}, {len(predicted)}"
        )
    both = np.stack([truth, predicted])
    if both.dtype.kind not in "iu":
        raise ConfigError(
            f"scores: expected class indices (whole numbers), found values of type {both.dtype}; for names there is mer.score"
        )
    if both.min() < 0 or both.max() >= classes:
        raise ConfigError(f"scores: expected classes 0 to {classes - 1}, found {both.min()} to {both.max()}")
    counts = np.bincount(truth * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int64)


def accuracy(counts: NDArray[np.generic]) -> Floats:
    """Share of clips whose class is right."""
    values = counts.astype(np.float64)
    return _ratio(np.trace(values, axis1=-2, axis2=-1), values.sum(axis=(-2, -1)))


def per_class_f1(counts: NDArray[np.generic]) -> Floats:
    """(..., C) F1 of every class; 0 where a class is neither true nor predicted."""
    values = counts.astype(np.float64)
    right = np.diagonal(values, axis1=-2, axis2=-1)
    return _ratio(2 * right, values.sum(axis=-1) + values.sum(axis=-2))


def per_class_recall(counts: NDArray[np.generic]) -> Floats:
    """(..., C) share of each class' clips that are found; 0 where a class has none."""
    values = counts.astype(np.float64)
    return _ratio(np.diagonal(values, axis1=-2, axis2=-1), values.sum(axis=-1))


def waf(counts: NDArray[np.generic]) -> Floats:
    """Weighted F1: F1 of every class weighted by the number of its true clips."""
    support = counts.astype(np.float64).sum(axis=-1)
    return _ratio((per_class_f1(counts) * support).sum(axis=-1), support.sum(axis=-1))


def macro_f1(counts: NDArray[np.generic]) -> Floats:
    """Plain mean of F1 over the classes that are true or predicted somewhere (as scikit-learn's default
    does).
    """
    return _mean_over(per_class_f1(counts), (counts.sum(axis=-1) + counts.sum(axis=-2)) > 0)


def unweighted_recall(counts: NDArray[np.generic]) -> Floats:
    """Mean recall over the classes that have true clips (UAR, balanced accuracy)."""
    return _mean_over(per_class_recall(counts), counts.sum(axis=-1) > 0)


def valence_mse(truth: NDArray[np.floating], predicted: NDArray[np.floating]) -> float:
    """Mean squared error over clips where both are known; NaN where there is none.

    Raises:
        ConfigError: lengths differ.
    """
    if truth.shape != predicted.shape:
        raise ConfigError(
            f"valence: expected as many predictions as values, found {predicted.shape}, {truth.shape}"
        )
    known = ~(np.isnan(truth) | np.isnan(predicted))
    if not known.any():
        return float("nan")
    difference = truth[known].astype(np.float64) - predicted[known].astype(np.float64)
    return float(np.mean(difference**2))


def combined_score(weighted_f1: float, squared_error: float) -> float:
    """MER2023 MULTI and NOISE: WAF - 0.25 * MSE(valence); NaN where there is no valence."""
    return weighted_f1 - VALENCE_PENALTY * squared_error


def chance_waf(prior: NDArray[np.floating]) -> float:
    """WAF of the better of two uninformed guesses: always the most frequent class, or drawn from the prior.

    Always the class with share p gives p * 2p / (1 + p); drawing gives the sum of squared shares.
    """
    shares = prior / prior.sum()
    largest = float(shares.max())
    return max(2 * largest**2 / (1 + largest), float((shares**2).sum()))


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    safe = np.where(denominator > 0, denominator, 1.0)
    return np.asarray(np.where(denominator > 0, numerator / safe, 0.0), dtype=np.float64)


def _mean_over(values: Floats, keep: NDArray[np.bool_]) -> Floats:
    return _ratio(np.where(keep, values, 0.0).sum(axis=-1), keep.sum(axis=-1).astype(np.float64))
