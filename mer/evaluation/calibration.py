"""Temperature scaling and the calibration error it is judged by.

Source: Guo et al. 2017, "On calibration of modern neural networks" (known). The temperature is fitted on
out-of-fold logits,
never on clips the model was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError

_RANGE = (0.05, 20.0)
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class ReliabilityBins:
    """Predictions grouped by confidence, in bins of equal width; empty bins hold NaN and a count of 0."""

    edges: NDArray[np.float64]
    """(K + 1,)"""
    confidence: NDArray[np.float64]
    """(K,) mean confidence."""
    accuracy: NDArray[np.float64]
    """(K,) share that is right."""
    count: NDArray[np.int64]
    """(K,)"""

    @property
    def error(self) -> float:
        """Expected calibration error: mean gap between confidence and accuracy, weighted by count."""
        held = self.count > 0
        gaps = np.abs(self.confidence[held] - self.accuracy[held])
        return float((gaps * self.count[held]).sum() / self.count.sum())


def negative_log_likelihood(
    logits: NDArray[np.floating], truth: NDArray[np.int64], temperature: float = 1.0
) -> float:
    """Mean negative log-probability of the true class of (N, C) logits divided by `temperature`."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(scaled).sum(axis=1))
    return float((log_sum - scaled[np.arange(len(truth)), truth]).mean())


def fit_temperature(logits: NDArray[np.floating], truth: NDArray[np.int64]) -> float:
    """The temperature in [0.05, 20] with the least negative log-likelihood.

    The likelihood is concave in 1 / temperature, so bisection on its slope finds the only optimum (or an
    end of the range).

    Args:
        logits: (N, C) out-of-fold logits.
        truth: (N,) class index, no -1.

    Raises:
        ConfigError: no labelled clips, lengths that differ, or logits that are not finite.
    """
    if len(truth) != len(logits):
        raise ConfigError(
            f"calibration: expected a label for each of {len(logits)} rows of logits, found {len(truth)}"
        )
    if len(truth) == 0 or truth.min() < 0 or not np.isfinite(logits).all():
        raise ConfigError("calibration: expected labelled clips with finite logits")
    values = logits.astype(np.float64)
    true_mean = float(values[np.arange(len(truth)), truth].mean())

    def slope(inverse: float) -> float:  # derivative of the mean log-likelihood by 1 / temperature
        scaled = values * inverse
        weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        expected = (weights * values).sum(axis=1) / weights.sum(axis=1)
        return true_mean - float(expected.mean())

    low, high = 1 / _RANGE[1], 1 / _RANGE[0]
    if slope(low) <= 0:
        return _RANGE[1]
    if slope(high) >= 0:
        return _RANGE[0]
    while high - low > _TOLERANCE * high:
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return 2 / (low + high)


def cross_fitted_probabilities(
    logits: NDArray[np.floating], truth: NDArray[np.int64], folds: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(N, C) calibrated probabilities of each fold's clips, at the temperature that is fitted on the clips of the other folds.

    One temperature fitted on all clips is what is served, but its error on the same clips is a flattering figure.

    Args:
        logits: (N, C) out-of-fold logits.
        truth: (N,) class index, no -1.
        folds: (N,) fold of every clip; where there is only one, its clips stay uncalibrated.
    """
    scaled = logits.astype(np.float64)
    for fold in np.unique(folds):
        inside = folds == fold
        if not inside.all():
            scaled[inside] /= fit_temperature(logits[~inside], truth[~inside])
    weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return probabilities


def reliability_bins(
    probabilities: NDArray[np.floating], truth: NDArray[np.int64], bins: int = 15
) -> ReliabilityBins:
    """Group (N, C) probabilities by the confidence of the predicted class into `bins` bins of equal width."""
    confidence = probabilities.max(axis=1)
    right = (probabilities.argmax(axis=1) == truth).astype(np.float64)
    bin_index = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    count = np.bincount(bin_index, minlength=bins)
    with np.errstate(invalid="ignore"):
        return ReliabilityBins(
            edges=np.linspace(0, 1, bins + 1),
            confidence=np.bincount(bin_index, weights=confidence, minlength=bins) / count,
            accuracy=np.bincount(bin_index, weights=right, minlength=bins) / count,
            count=count,
        )


def expected_calibration_error(
    probabilities: NDArray[np.floating], truth: NDArray[np.int64], bins: int = 15
) -> float:
    """Expected calibration error of (N, C) probabilities, in [0, 1]."""
    return reliability_bins(probabilities, truth, bins).error
