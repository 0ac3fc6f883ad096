"""Bootstrap intervals of estimated priors, with the sampling error of both sets of clips.

Each resample draws speakers (clips where unknown) of the target and, independently, of the calibration clips. A resample
of the latter changes the training priors, the calibration and the confusion. All of it is carried to first order (the
expansion of the likelihood, the influence of a clip on the calibration), so that a thousand resamples of 20,000 clips
cost matrix products instead of a thousand fits. Percentile intervals, their deviations stretched for few groups as in
`mer.evaluation.intervals`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.evaluation.intervals import resample_weights, widened
from mer.label_shift.bbse import (
    Prediction,
    confusion_of,
    estimate_bbse,
    mixture_weights,
    predictions,
    pull_of,
)
from mer.label_shift.calibration import CalibrationFit
from mer.label_shift.clip_sets import CalibrationClips, TargetClips, drawn_together, summed
from mer.label_shift.config import Estimator
from mer.label_shift.likelihood import Expansion, estimate_em, expand, maximise, prior_ratios, pulled

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PriorEstimate:
    """Target priors with their interval."""

    prior: Floats
    """(C,)"""
    low: Floats
    """(C,)"""
    high: Floats
    """(C,)"""
    samples: Floats
    """(B, C) in every resample, not stretched."""


@dataclass(frozen=True)
class _Draws:
    """Groups of both sets and how often each is drawn in every resample."""

    target: NDArray[np.int64]
    target_weights: Floats
    calibration: NDArray[np.int64]
    calibration_weights: Floats


@dataclass(frozen=True)
class _Peak:
    """EM's priors, and how far they were pulled."""

    prior: Floats
    pull: float


def estimate_priors(
    calibration: CalibrationClips,
    target: TargetClips,
    fit: CalibrationFit,
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    pull: float = 0.0,
) -> Mapping[Estimator, PriorEstimate]:
    """Target priors by EM and by BBSE, soft and hard, with intervals; the resamples are the same for all three.

    Args:
        calibration: labelled clips, every class among them.
        target: unlabelled clips.
        fit: calibration of the posteriors, fitted on `calibration`.
        resamples: B.
        confidence: coverage aimed at.
        seed: of the resamples.
        pull: of EM toward the training priors, see `estimate_em`.
    """
    generator = np.random.default_rng(seed)
    groups = [drawn_together(clips.groups(), generator) for clips in (target, calibration)]
    weights = [
        resample_weights(int(codes.max()) + 1, resamples, seed + number + 1)
        for number, codes in enumerate(groups)
    ]
    draws = _Draws(groups[0], weights[0], groups[1], weights[1])
    known, unknown = (fit.calibrated.log_probabilities(clips.logits) for clips in (calibration, target))
    prior = calibration.shares
    em = estimate_em(unknown, prior, pull=pull).prior
    estimated: dict[Estimator, tuple[Floats, Floats]] = {
        "em": (em, _em_samples(calibration, target, fit, unknown, _Peak(em, pull), draws))
    }
    kinds: tuple[tuple[Estimator, Prediction], ...] = (("bbse_soft", "soft"), ("bbse_hard", "hard"))
    for name, kind in kinds:
        estimated[name] = _bbse(predictions(known, kind), calibration, predictions(unknown, kind), draws)
    few = min(len(weights[0][0]), len(weights[1][0]))
    tail = (1 - confidence) / 2
    estimates: dict[Estimator, PriorEstimate] = {}
    for name, (point, samples) in estimated.items():
        stretched = widened(samples.T, few).T
        low, high = np.clip(np.quantile(stretched, [tail, 1 - tail], axis=0), 0.0, 1.0)
        estimates[name] = PriorEstimate(point, np.minimum(low, point), np.maximum(high, point), samples)
    return estimates


def _em_samples(
    calibration: CalibrationClips,
    target: TargetClips,
    fit: CalibrationFit,
    log_posteriors: Floats,
    peak: _Peak,
    draws: _Draws,
) -> Floats:
    """(B, C): the expanded likelihood of every resample of the target, moved by every resample of the calibration."""
    em, shares = peak.prior, calibration.shares
    groups = expand(prior_ratios(log_posteriors, shares), em, draws.target)
    clips = draws.target_weights @ groups.clips
    classes = len(em)
    counts = summed(np.eye(classes)[calibration.truth], draws.calibration)
    drawn = draws.calibration_weights @ counts
    drawn_shares = np.maximum(drawn, 0.5) / drawn.sum(axis=1, keepdims=True)
    change = (draws.calibration_weights - 1) @ summed(fit.influence, draws.calibration)  # (B, 1 + C)
    moves = np.column_stack([change[:, :1], change[:, 1:] - np.log(drawn_shares / shares)])
    effect = _gradient_by_calibration(log_posteriors, shares, em, target.logits.astype(np.float64))
    scale = (clips / groups.clips.sum())[:, None]
    information = draws.target_weights @ groups.information.reshape(len(groups.clips), -1)
    drawn_likelihood = Expansion(
        at=em,
        gradient=draws.target_weights @ groups.gradient + scale * (moves @ effect),
        information=information.reshape(-1, classes, classes),
        clips=clips,
    )
    return maximise(pulled(drawn_likelihood, shares, peak.pull))


def _gradient_by_calibration(log_posteriors: Floats, shares: Floats, em: Floats, logits: Floats) -> Floats:
    """(1 + C, C) derivative of the likelihood's gradient by inverse temperature, and by biases less log training priors."""
    ratios = prior_ratios(log_posteriors, shares)
    slopes = ratios / (ratios @ em)[:, None]
    corrected = slopes * em
    by_bias = np.diag(slopes.sum(axis=0)) - corrected.T @ slopes
    mean = (corrected * logits).sum(axis=1, keepdims=True)
    return np.vstack([(slopes * (logits - mean)).sum(axis=0), by_bias])


def _bbse(
    calibration_predictions: Floats, calibration: CalibrationClips, target_predictions: Floats, draws: _Draws
) -> tuple[Floats, Floats]:
    """BBSE's (C,) priors and those (B, C) of every resample."""
    confusion = confusion_of(calibration_predictions, calibration.truth)
    pull = pull_of(confusion, len(target_predictions), len(calibration_predictions))
    mean = target_predictions.mean(axis=0)
    point = estimate_bbse(confusion, mean, pull)
    classes = calibration_predictions.shape[1]
    labels = np.eye(classes)[calibration.truth]
    joint = (labels[:, :, None] * calibration_predictions[:, None, :]).reshape(
        len(calibration_predictions), -1
    )  # rows: truth
    sums = (draws.calibration_weights @ summed(joint, draws.calibration)).reshape(-1, classes, classes)
    sums += 1e-9 * confusion.conditional.T  # a class that a resample lacks looks as it does in all clips
    conditional = np.swapaxes(sums / sums.sum(axis=2, keepdims=True), 1, 2)
    prior = sums.sum(axis=2) / sums.sum(axis=(1, 2))[:, None]
    drawn = draws.target_weights @ summed(
        np.column_stack([target_predictions, np.ones(len(target_predictions))]), draws.target
    )
    return point, mixture_weights(conditional, drawn[:, :-1] / drawn[:, -1:], prior, pull)
