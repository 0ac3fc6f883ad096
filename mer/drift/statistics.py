"""The tests' statistics under many exchanges of the same units at once.

Each takes draws (P, units), 1 where a unit counts as new (`mer.drift.exchange`), and gives (P,) values, the first of the clips as
they are. Two-sample statistics alone, no p-values: these come of the draws (`mer.drift.battery`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
_AT_ONCE = 100
"""Draws that are computed together: memory is so many times the clips."""
_MEDIAN_OF = 500
"""Clips whose distances set the kernel's width."""
_RIDGE = 0.05
"""Of the mean variance, added to every variance of the classifier."""


def kolmogorov_smirnov(values: Floats, unit: Integers, draws: Floats) -> Floats:
    """Largest difference of the two distribution functions (as `scipy.stats.ks_2samp`, of the first draw the same value).

    Args:
        values: (N,) of all clips; those that are NaN are left out.
        unit: (N,) unit of each.
        draws: (P, units)
    """
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    ordered, units = values[order], unit[order]
    ends = np.append(ordered[1:] != ordered[:-1], True)  # equal values step together

    def largest(some: Floats) -> Floats:
        new = some[:, units]
        many = new.sum(axis=1, keepdims=True)
        above, others = np.maximum(many, 1), np.maximum(len(units) - many, 1)
        gap = np.cumsum(new / above - (1 - new) / others, axis=1)[:, ends]
        return np.asarray(np.abs(gap).max(axis=1))

    return _in_parts(draws, largest)


def maximum_mean_discrepancy(vectors: Floats, unit: Integers, draws: Floats) -> Floats:
    """Maximum mean discrepancy with a Gaussian kernel whose width is the median distance (Gretton et al. 2012).

    Args:
        vectors: (N, D) of all clips, standardised.
        unit: (N,)
        draws: (P, units)
    """
    squares = np.square(vectors).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares - 2 * (vectors @ vectors.T), 0.0)
    some = np.linspace(0, len(vectors) - 1, min(len(vectors), _MEDIAN_OF)).astype(np.int64)
    width = float(np.median(distances[np.ix_(some, some)])) or 1.0
    kernel = np.exp(-distances / width)
    # only whole units move, so sums over these are all that is needed
    units = draws.shape[1]
    rows = np.zeros((units, len(vectors)))
    np.add.at(rows, unit, kernel)
    sums = np.zeros((units, units))
    np.add.at(sums.T, unit, rows.T)
    sizes = np.bincount(unit, minlength=units).astype(np.float64)

    def discrepancy(some: Floats) -> Floats:
        new, old = some, 1 - some
        weights = new / np.maximum(new @ sizes, 1)[:, None] - old / np.maximum(old @ sizes, 1)[:, None]
        squared = ((weights @ sums) * weights).sum(axis=1)
        return np.asarray(np.sqrt(np.maximum(squared, 0.0)))

    return _in_parts(draws, discrepancy)


def classifier_accuracy(components: Floats, unit: Integers, speaker: Integers, draws: Floats) -> Floats:
    """Balanced accuracy, above one half, of a linear classifier of old and new on speakers that it did not learn from.

    Leave one speaker out, in closed form: a discriminant with the components' variances, whose means are those of all other
    speakers' clips. (Lopez-Paz and Oquab 2017, "Revisiting classifier two-sample tests", with speakers held out.)

    Args:
        components: (N, K) uncorrelated components of all clips.
        unit: (N,)
        speaker: (units,) number of the speaker of a unit; both parts of a speaker are held out together.
        draws: (P, units)
    """
    units = draws.shape[1]
    variances = components.var(axis=0)
    scaled = components / np.sqrt(variances + _RIDGE * max(float(variances.mean()), 1e-12))
    sums = np.stack([np.bincount(unit, weights=column, minlength=units) for column in scaled.T], axis=1)
    sizes = np.bincount(unit, minlength=units).astype(np.float64)
    one_by_one = len(np.unique(speaker)) == units
    together = np.zeros((0, 0)) if one_by_one else (speaker[:, None] == speaker).astype(np.float64)
    clip_speaker = unit

    def left_out(of_units: Floats) -> Floats:
        """What the speaker of each unit adds to a total: (..., units, ...)."""
        return of_units if one_by_one else np.einsum("uv,v...->u...", together, of_units)

    def accuracy(draw: Floats) -> float:
        means = []
        for weight in (draw, 1 - draw):
            counts, totals = weight * sizes, weight[:, None] * sums
            rest = counts.sum() - left_out(counts)
            means.append((totals.sum(axis=0) - left_out(totals)) / np.maximum(rest, 1)[:, None])
        direction, middle = means[0] - means[1], (means[0] + means[1]) / 2
        scores = (scaled * direction[clip_speaker]).sum(axis=1) - (direction * middle).sum(axis=1)[unit]
        is_new = draw[unit] > 0
        new, old = (scores[is_new] > 0).mean(), (scores[~is_new] <= 0).mean()
        return float(new + old) / 2 - 0.5

    return np.array([accuracy(draw) for draw in draws])


def mean_distance(values: Floats, unit: Integers, draws: Floats) -> Floats:
    """Distance of the mean (N, C) probabilities of old and new in standard errors: the score test of class priors."""
    units = draws.shape[1]
    inverse = np.linalg.pinv(np.atleast_2d(np.cov(values.T)), rcond=1e-8)
    sums = np.stack([np.bincount(unit, weights=column, minlength=units) for column in values.T], axis=1)
    sizes = np.bincount(unit, minlength=units).astype(np.float64)

    def distance(some: Floats) -> Floats:
        inside, clips = some @ sums, some @ sizes
        rest, others = sums.sum(axis=0) - inside, sizes.sum() - clips
        gap = inside / np.maximum(clips, 1)[:, None] - rest / np.maximum(others, 1)[:, None]
        scale = 1 / np.maximum(clips, 1) + 1 / np.maximum(others, 1)
        return np.asarray(np.sqrt(np.maximum(((gap @ inverse) * gap).sum(axis=1), 0.0) / scale))

    return _in_parts(draws, distance)


def _in_parts(draws: Floats, statistic: Callable[[Floats], Floats]) -> Floats:
    return np.concatenate(
        [statistic(draws[begin : begin + _AT_ONCE]) for begin in range(0, len(draws), _AT_ONCE)]
    )
