"""Bias-corrected temperature scaling: posteriors whose priors can be told.

Source: Alexandari, Kundaje, Shrikumar 2020, "Maximum likelihood with bias-corrected calibration is hard-to-beat at label
shift adaptation" (known): EM needs posteriors that are calibrated class by class, which one temperature does not give.
With the biases fitted, the mean posterior of the calibration clips is the share of each class among their labels. The
slight pull of the biases to zero, which keeps them finite, is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError

Floats = NDArray[np.float64]
_PULL = 1e-2
"""Weight of the squared biases beside the summed log-likelihood: as much as a hundredth of one clip."""
_STEPS = 60


@dataclass(frozen=True)
class BiasCorrected:
    """`softmax(inverse_temperature * logits + bias)`."""

    inverse_temperature: float
    bias: Floats
    """(C,)"""

    def log_probabilities(self, logits: NDArray[np.floating]) -> Floats:
        """(N, C) logits -> (N, C) calibrated log-probabilities."""
        return log_softmax(self.inverse_temperature * logits.astype(np.float64) + self.bias)


@dataclass(frozen=True)
class CalibrationFit:
    """A calibration with what the bootstrap needs to know about its own sampling error."""

    calibrated: BiasCorrected
    influence: Floats
    """(N, 1 + C) change of (inverse temperature, biases) when a clip counts once more, to first order."""


def log_softmax(logits: Floats) -> Floats:
    """(..., C) logits -> log-probabilities."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def fit_bias_corrected(logits: NDArray[np.floating], truth: NDArray[np.int64]) -> CalibrationFit:
    """Temperature and biases with the greatest likelihood, by damped Newton steps (the problem is concave).

    Args:
        logits: (N, C) held-out logits: no clip's model was trained on it.
        truth: (N,) class index, no -1.

    Raises:
        ConfigError: no clips, unlabelled ones, or logits that are not finite.
    """
    values = np.asarray(logits, dtype=np.float64)
    if len(truth) == 0 or truth.min() < 0 or not np.isfinite(values).all():
        raise ConfigError("label shift: expected labelled calibration clips with finite logits")
    values = values - values.mean(axis=1, keepdims=True)  # the same posteriors, better conditioned
    theta = np.concatenate([[1.0], np.zeros(values.shape[1])])
    reached = _objective(values, truth, theta)
    scores, curvature = _derivatives(values, truth, theta)
    for _ in range(_STEPS):
        slope = scores.sum(axis=0) - _PULL * np.concatenate([[0.0], theta[1:]])
        step = np.linalg.solve(curvature, slope)
        if float(slope @ step) < 1e-12 * len(truth):
            break
        # halved until the likelihood grows and the temperature stays positive
        length = 1.0
        while length > 1e-6:
            tried = _objective(values, truth, theta + length * step)
            if tried > reached and theta[0] + length * step[0] > 0:
                break
            length /= 2
        else:
            break
        theta, reached = theta + length * step, tried
        scores, curvature = _derivatives(values, truth, theta)
    calibrated = BiasCorrected(inverse_temperature=float(theta[0]), bias=theta[1:])
    return CalibrationFit(
        calibrated, influence=np.asarray(np.linalg.solve(curvature, scores.T).T, np.float64)
    )


def _objective(values: Floats, truth: NDArray[np.int64], theta: Floats) -> float:
    logs = log_softmax(theta[0] * values + theta[1:])
    return float(logs[np.arange(len(truth)), truth].sum() - _PULL / 2 * (theta[1:] ** 2).sum())


def _derivatives(values: Floats, truth: NDArray[np.int64], theta: Floats) -> tuple[Floats, Floats]:
    """(N, 1 + C) score of every clip, and the (1 + C, 1 + C) negative second derivative."""
    probabilities = np.exp(log_softmax(theta[0] * values + theta[1:]))
    mean = (probabilities * values).sum(axis=1)
    spread = probabilities * (values - mean[:, None])
    rest = -probabilities
    rest[np.arange(len(truth)), truth] += 1.0
    scores = np.column_stack([values[np.arange(len(truth)), truth] - mean, rest])
    classes = values.shape[1]
    curvature = np.empty((1 + classes, 1 + classes))
    curvature[0, 0] = (spread * values).sum() + 1e-9
    curvature[0, 1:] = curvature[1:, 0] = spread.sum(axis=0)
    curvature[1:, 1:] = np.diag(probabilities.sum(axis=0) + _PULL) - probabilities.T @ probabilities
    return scores, curvature
