"""The likelihood of class priors on unlabelled clips, its maximum, and its expansion around a point.

With posteriors p(c|x) under priors p, the likelihood of other priors q is `prod_x sum_c q_c p(c|x) / p_c`; its logarithm
is concave in q. Source: Saerens, Latinne, Decaestecker 2002, "Adjusting the outputs of a classifier to new a priori
probabilities" (known): EM. An EM step is `q_c <- q_c g_c / n`, with g the gradient: that is why an expansion of the
gradient to first order (ours) gives steps for bootstrap resamples and for batches that are gone, at a cost that does not
depend on the number of clips.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError

Floats = NDArray[np.float64]
_CYCLES = 500


@dataclass(frozen=True)
class PriorFit:
    """Priors of greatest likelihood."""

    prior: Floats
    """(C,) sums to 1."""
    steps: int
    """EM steps that were taken."""
    ratio: float
    """Twice the gain in log-likelihood over the training priors."""


@dataclass(frozen=True)
class Expansion:
    """Log-likelihoods of G groups of clips around one prior, to second order; groups may be summed."""

    at: Floats
    """(C,) the prior."""
    gradient: Floats
    """(G, C)"""
    information: Floats
    """(G, C, C) negative second derivative."""
    clips: Floats
    """(G,)"""


def prior_ratios(log_posteriors: Floats, prior: Floats) -> Floats:
    """(N, C) likelihood of every class up to a factor per clip: p(c|x) / p_c.

    Raises:
        ConfigError: a class without prior, whose ratio is not known.
    """
    if not (prior > 0).all():
        raise ConfigError(f"label shift: expected training priors above 0, found {prior.tolist()}")
    return np.asarray(np.exp(log_posteriors - np.log(prior)))


def estimate_em(
    log_posteriors: Floats, prior: Floats, tolerance: float = 1e-9, pull: float = 0.0
) -> PriorFit:
    """Target priors by EM, extrapolated (SQUAREM, Varadhan and Roland 2008, known): the same fixed point in fewer steps.

    Args:
        log_posteriors: (N, C) calibrated log-posteriors of the target clips, under `prior`.
        prior: (C,) priors of the clips the posteriors are calibrated on, all above 0.
        tolerance: largest change of a prior by an EM step at the end.
        pull: further clips whose classes are known and shared out as `prior` is: the maximum is that of the likelihood under a
            Dirichlet prior with `pull * prior + 1` (known: MAP-EM). 0: of the likelihood alone.
    """
    ratios = prior_ratios(log_posteriors, prior)
    columns = np.ascontiguousarray(ratios.T)
    q, steps = np.array(prior, dtype=np.float64), 0

    def advance(at: Floats) -> Floats:
        return np.asarray((at * (columns @ (1.0 / (ratios @ at))) + pull * prior) / (len(ratios) + pull))

    def height(at: Floats) -> float:
        return _likelihood(ratios, at) + (float(pull * prior @ np.log(at)) if pull else 0.0)

    for _ in range(_CYCLES):
        first = advance(q)
        second = advance(first)
        steps += 2
        change = first - q
        if np.abs(change).max() < tolerance:
            break
        bend = second - first - change
        # -1 leads where two plain EM steps lead: never shorter than that
        stride = -max(1.0, float(np.sqrt((change @ change) / max(float(bend @ bend), 1e-300))))
        leap = q - 2 * stride * change + stride**2 * bend
        if stride < -1.0 and leap.min() > 0 and np.isfinite(leap).all():
            landed = advance(leap / leap.sum())
            steps += 1
            # a leap that lost likelihood is not taken: EM alone never loses any
            q = landed if height(landed) >= height(second) else second
        else:
            q = second
    return PriorFit(
        q, steps, ratio=2 * max(0.0, _likelihood(ratios, q) - _likelihood(ratios, np.asarray(prior)))
    )


def expand(ratios: Floats, at: Floats, groups: NDArray[np.int64] | None = None) -> Expansion:
    """The expansion of every group of clips (none given: of all clips as one) around the prior `at`."""
    slopes = ratios / (ratios @ at)[:, None]
    if groups is None:
        return Expansion(
            at, slopes.sum(axis=0)[None], (slopes.T @ slopes)[None], np.array([float(len(ratios))])
        )
    # sorted by group: every group is one run of rows, and `reduceat` sums all runs at once
    order = np.argsort(groups, kind="stable")
    ordered, sizes = slopes[order], np.bincount(groups)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    products = (ordered[:, :, None] * ordered[:, None, :]).reshape(len(ordered), -1)
    classes = ratios.shape[1]
    return Expansion(
        at=at,
        gradient=np.add.reduceat(ordered, starts, axis=0),
        information=np.add.reduceat(products, starts, axis=0).reshape(-1, classes, classes),
        clips=sizes.astype(np.float64),
    )


def pulled(expansion: Expansion, prior: Floats, pull: float) -> Expansion:
    """The expansion with `pull` further clips in every group whose classes are known and shared out as `prior` is."""
    if not pull:
        return expansion
    slope = pull * prior / expansion.at
    return Expansion(
        at=expansion.at,
        gradient=expansion.gradient + slope,
        information=expansion.information + np.diag(slope / expansion.at),
        clips=expansion.clips + pull,
    )


def maximise(expansion: Expansion, steps: int = 400, tolerance: float = 1e-7) -> Floats:
    """(G, C) priors of greatest expanded likelihood for every group, by EM steps on the expanded gradient."""
    q = np.broadcast_to(np.maximum(expansion.at, 1e-12), expansion.gradient.shape).copy()
    for _ in range(steps):
        away = q - expansion.at
        slope = expansion.gradient - np.einsum("gij,gj->gi", expansion.information, away)
        # far from `at` the expanded gradient may be negative, and a prior must stay positive
        moved = q * np.maximum(slope, 1e-12 * expansion.clips[:, None])
        moved /= moved.sum(axis=1, keepdims=True)
        change = float(np.abs(moved - q).max())
        q = moved
        if change < tolerance:
            break
    return q


def _likelihood(ratios: Floats, q: Floats) -> float:
    return float(np.log(ratios @ q).sum())
