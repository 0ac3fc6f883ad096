"""Black-box shift estimation: priors from the confusion of a classifier, whatever its scores mean.

Source: Lipton, Wang, Smola 2018, "Detecting and correcting for label shift with black box predictors" (known): the mean
prediction on target clips is the class-conditional mean prediction, mixed by the target priors. Known, too: least squares
under the simplex (Bunse 2022) and a pull toward the training priors (Azizzadenesheli et al. 2019); the strength of that
pull is our reconstruction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError

Floats = NDArray[np.float64]
Prediction = Literal["soft", "hard"]
ILL_CONDITIONED = 0.1
"""Smallest singular value of the confusion below which sampling errors grow more than tenfold: the priors are pulled."""
_EXPECTED_SHIFT = 0.1
"""Standard deviation of a class' prior around its training prior that the pull supposes."""


@dataclass(frozen=True)
class Confusion:
    """Class-conditional mean predictions of calibration clips."""

    conditional: Floats
    """(C, C) column j: mean prediction for clips of class j; columns sum to 1."""
    prior: Floats
    """(C,) share of each class among the clips."""
    smallest: float
    """Smallest singular value of `conditional`."""


def predictions(log_posteriors: Floats, kind: Prediction) -> Floats:
    """(N, C) what is averaged: posteriors, or the predicted class as ones among zeros."""
    if kind == "soft":
        return np.asarray(np.exp(log_posteriors))
    return np.asarray(np.eye(log_posteriors.shape[1])[log_posteriors.argmax(axis=1)])


def confusion_of(predicted: Floats, truth: NDArray[np.int64]) -> Confusion:
    """Class-conditional means of (N, C) predictions.

    Raises:
        ConfigError: a class without clips: nothing is known of what it looks like.
    """
    classes = predicted.shape[1]
    counts = np.bincount(truth, minlength=classes).astype(np.float64)
    if not counts.all():
        raise ConfigError(
            f"label shift: expected calibration clips of every class, found counts {counts.tolist()}"
        )
    joint = np.eye(classes)[truth].T @ predicted  # rows: truth
    conditional = (joint / counts[:, None]).T
    smallest = float(np.linalg.svd(conditional, compute_uv=False)[-1])
    return Confusion(conditional, counts / counts.sum(), smallest)


def pull_of(confusion: Confusion, target_clips: int, calibration_clips: int) -> float:
    """Weight of the squared distance from the training priors; 0 where the confusion is well conditioned.

    The variance of a mean prediction (at most 1/4 a clip) over that of the shift: the least squares is then the most probable
    prior, given that shifts are of the size supposed.
    """
    if confusion.smallest >= ILL_CONDITIONED:
        return 0.0
    variance = 0.25 * (1 / max(target_clips, 1) + 1 / max(calibration_clips, 1))
    return variance / _EXPECTED_SHIFT**2


def estimate_bbse(confusion: Confusion, mean_prediction: Floats, pull: float = 0.0) -> Floats:
    """(C,) target priors whose mixture of the confusion's columns is nearest to the (C,) mean prediction of target clips."""
    weights = mixture_weights(confusion.conditional[None], mean_prediction[None], confusion.prior[None], pull)
    return np.asarray(weights[0])


def mixture_weights(conditional: Floats, mean: Floats, prior: Floats, pull: float = 0.0) -> Floats:
    """Least squares on the simplex for B problems at once.

    Args:
        conditional: (B, C, C) columns to mix.
        mean: (B, C) mixtures to reach.
        prior: (B, C) training priors.
        pull: weight of the squared distance from them.
    """
    classes = mean.shape[1]
    square = np.einsum("bki,bkj->bij", conditional, conditional) + (pull + 1e-12) * np.eye(classes)
    linear = np.einsum("bki,bk->bi", conditional, mean) + (pull + 1e-12) * prior
    # the linear system of a minimum under "sums to 1"; the 1e-12 above keep it solvable where columns are dependent
    system = np.zeros((len(mean), classes + 1, classes + 1))
    system[:, :classes, :classes] = square
    system[:, :classes, classes] = system[:, classes, :classes] = 1.0
    right = np.concatenate([linear, np.ones((len(mean), 1))], axis=1)
    weights = np.linalg.solve(system, right[:, :, None])[:, :classes, 0]
    # only problems whose solution has a negative share need the iteration
    outside = weights.min(axis=1) < 0
    if outside.any():
        weights[outside] = _projected(square[outside], linear[outside], to_simplex(weights[outside]))
    return np.asarray(weights)


def _projected(square: Floats, linear: Floats, start: Floats, steps: int = 3000) -> Floats:
    """Accelerated projected gradient (FISTA, known) of `q square q / 2 - linear q` on the simplex."""
    stride = 1.0 / np.linalg.eigvalsh(square)[:, -1:]
    q, ahead, momentum = start, start, 1.0
    for _ in range(steps):
        slope = np.einsum("bij,bj->bi", square, ahead) - linear
        moved = to_simplex(ahead - stride * slope)
        grown = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = moved + (momentum - 1) / grown * (moved - q)
        done = float(np.abs(moved - q).max()) < 1e-10
        q, momentum = moved, grown
        if done:
            break
    return q


def to_simplex(values: Floats) -> Floats:
    """(B, C) -> the nearest vectors that are not negative and sum to 1 (by sorting; Duchi et al. 2008, known)."""
    ordered = -np.sort(-values, axis=1)
    over = (np.cumsum(ordered, axis=1) - 1) / np.arange(1, values.shape[1] + 1)
    last_positive = (ordered > over).sum(axis=1) - 1
    return np.asarray(np.maximum(values - over[np.arange(len(values)), last_positive][:, None], 0.0))
