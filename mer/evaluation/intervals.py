"""Bootstrap intervals that resample whole speakers, as clips of one speaker succeed and fail together.

A resample is a row of multinomial counts over groups, so all resamples of a score are one matrix product
with the groups' confusion counts. With few groups the percentile bootstrap is too narrow by about sqrt(G /
(G - 1)); deviations from the mean of the resamples are stretched by that factor (reconstruction: the usual
small-sample correction of the cluster bootstrap).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError
from mer.evaluation.metrics import Floats, confusion, waf

Score = Callable[[NDArray[np.generic]], Floats]
"""A score of (..., C, C) confusion counts."""


@dataclass(frozen=True)
class Resampling:
    """How speakers are resampled; equal values draw equal resamples of equally many speakers."""

    resamples: int = 2000
    """Number of resamples."""
    seed: int = 0


RESAMPLING = Resampling()
"""Where nothing else is said."""


@dataclass(frozen=True)
class Interval:
    """A score with its bootstrap interval."""

    point: float
    low: float
    high: float
    groups: int
    """Speakers (or clips, where speakers are unknown) that were resampled."""


@dataclass(frozen=True)
class Resampled:
    """A score, or a difference of two, and its value in every resample."""

    point: float
    first: float
    second: float
    """The two scores whose difference is `point`; 0 where there is one score only."""
    samples: Floats
    """(B,) resampled values, not widened."""
    groups: int
    limits: tuple[float, float] = (-1.0, 1.0)
    """Least and greatest value there can be: no end of an interval lies beyond."""

    def lower(self, confidence: float) -> float:
        """Lower end of the one-sided interval: point - t * standard error, t with groups - 1 degrees of
        freedom.
        """
        return max(float(self.point - self._deviations(confidence)), self.limits[0])

    def interval(self, confidence: float) -> tuple[float, float]:
        """Ends of the two-sided interval point -+ t * standard error; all there can be for a single group."""
        reach = self._deviations(1 - (1 - confidence) / 2)
        return max(float(self.point - reach), self.limits[0]), min(float(self.point + reach), self.limits[1])

    def _deviations(self, quantile: float) -> float:
        """The quantile of t times the standard error; infinite for a single group."""
        from scipy.stats import t

        if self.groups < 2:
            return float("inf")
        error = float(self.samples.std()) * np.sqrt(self.groups / (self.groups - 1))
        return float(t.ppf(quantile, self.groups - 1) * error)


def resampling_groups(speakers: Sequence[str | None], count: int) -> NDArray[np.int64]:
    """(N,) group per clip: its speaker; a clip of unknown speaker, or all clips of a single speaker, by
    itself.

    Raises:
        ConfigError: another number of speakers than clips.
    """
    if len(speakers) != count:
        raise ConfigError(f"intervals: expected {count} speakers, one per clip, found {len(speakers)}")
    if len(set(speakers)) <= 1:
        return np.arange(count, dtype=np.int64)
    names = [f"clip:{row}" if who is None else f"speaker:{who}" for row, who in enumerate(speakers)]
    return np.asarray(np.unique(np.array(names), return_inverse=True)[1], dtype=np.int64)


def resampled_units(speakers: Sequence[str | None]) -> str:
    """What `resampling_groups` resamples of these clips, for people: `speakers`, `clips`, or both where some are unknown."""
    if len(set(speakers)) <= 1:
        return "clips"
    return "speakers" if None not in speakers else "speakers and clips of unknown speakers"


def group_confusions(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], groups: NDArray[np.int64], classes: int
) -> Floats:
    """(G, C, C) confusion counts of every group."""
    confusion(truth, predicted, classes)  # checks lengths and ranges
    number = int(groups.max()) + 1
    index = (groups * classes + truth) * classes + predicted
    flat = np.bincount(index, minlength=number * classes * classes).astype(np.float64)
    return flat.reshape(number, classes, classes)


def resample_weights(groups: int, resamples: int, seed: int) -> Floats:
    """(B, G) how often each group is drawn in each resample; every row sums to G."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(groups, np.full(groups, 1 / groups), size=resamples).astype(np.float64)


def _weights(groups: int, resampling: Resampling) -> Floats:
    return resample_weights(groups, resampling.resamples, resampling.seed)


def resampled_scores(counts: Floats, weights: Floats, score: Score) -> Floats:
    """(B,) score of every resample of (G, C, C) group counts under (B, G) weights."""
    groups, classes, _ = counts.shape
    return score((weights @ counts.reshape(groups, -1)).reshape(-1, classes, classes))


def widened(samples: Floats, groups: int) -> Floats:
    """Resampled scores with their deviations stretched by sqrt(G / (G - 1)) for few groups."""
    if groups < 2:
        return samples
    centre = samples.mean(axis=-1, keepdims=True)
    return np.asarray(centre + (samples - centre) * np.sqrt(groups / (groups - 1)))


def bootstrap_interval(
    truth: NDArray[np.int64],
    predicted: NDArray[np.int64],
    speakers: Sequence[str | None],
    classes: int,
    *,
    score: Score = waf,
    confidence: float = 0.95,
    resampling: Resampling = RESAMPLING,
) -> Interval:
    """Two-sided percentile interval of a score, resampling speakers.

    Args:
        truth: (N,) class index.
        predicted: (N,) class index.
        speakers: (N,) speaker or None.
        classes: number of classes.
        score: any score of confusion counts within [0, 1] (`mer.evaluation.metrics`); so is the interval.
        confidence: coverage aimed at.
        resampling: number of resamples and their seed.
    """
    counts = group_confusions(truth, predicted, resampling_groups(speakers, len(truth)), classes)
    samples = resampled_scores(counts, _weights(len(counts), resampling), score)
    tail = (1 - confidence) / 2
    # widening stretches around the mean, and may reach beyond what a score can be
    low, high = np.clip(np.quantile(widened(samples, len(counts)), [tail, 1 - tail]), 0.0, 1.0)
    return Interval(
        point=float(score(counts.sum(axis=0))), low=float(low), high=float(high), groups=len(counts)
    )


def paired_differences(
    truth: NDArray[np.int64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    speakers: Sequence[str | None],
    classes: int,
    *,
    score: Score = waf,
    resampling: Resampling = RESAMPLING,
) -> Resampled:
    """Score of `first` minus score of `second` on the same clips, each resample drawing the same speakers
    for both.
    """
    groups = resampling_groups(speakers, len(truth))
    first_counts = group_confusions(truth, first, groups, classes)
    second_counts = group_confusions(truth, second, groups, classes)
    weights = _weights(len(first_counts), resampling)
    samples = resampled_scores(first_counts, weights, score) - resampled_scores(second_counts, weights, score)
    better, worse = float(score(first_counts.sum(axis=0))), float(score(second_counts.sum(axis=0)))
    return Resampled(
        point=better - worse, first=better, second=worse, samples=samples, groups=len(first_counts)
    )
