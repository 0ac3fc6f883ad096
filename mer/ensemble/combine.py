"""Posteriors of several models as one: alike, by each clip's certainty, by fixed weights, or as a product.

Known: the structures' posteriors are combined (Wang et al. 2023, arXiv 2309.07925), with entropy-based weights in the follow-up
(ICASSP 2024). Reconstruction: weights proportional to exp(-entropy) per clip, and that valence is combined by the same weights.
All combine probabilities, not logits; the result's logits are their logarithms. The product is the vote of system B
(`mer.label_shift.vote`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError
from mer.posteriors import Posteriors

Floats = NDArray[np.float64]
_SMALLEST = 1e-12
"""Probability that stands for 0: a logit must be finite."""


def uniform(members: Sequence[Posteriors]) -> Posteriors:
    """Mean of the members' probabilities and of their valences.

    Raises:
        ConfigError: no members, or members that predicted different clips or classes.
    """
    return weighted(members, np.full(len(members), 1 / max(len(members), 1)))


def entropy_weighted(members: Sequence[Posteriors]) -> Posteriors:
    """Members weighted clip by clip in proportion to exp(-entropy) of their posterior.

    Raises:
        ConfigError: as `uniform`.
    """
    aligned = aligned_members(members)
    return _combined(aligned, entropy_weights(np.stack([member.probabilities() for member in aligned])))


def entropy_weights(probabilities: Floats) -> Floats:
    """(M, N) weights, 1 in sum over the members, of (M, N, C) probabilities."""
    certain = np.exp((probabilities * np.log(np.maximum(probabilities, _SMALLEST))).sum(axis=2))
    return np.asarray(certain / certain.sum(axis=0))


def weighted(members: Sequence[Posteriors], weights: NDArray[np.floating]) -> Posteriors:
    """Members with fixed weights.

    Args:
        members: M of them, on the same clips (in any order).
        weights: (M,) not negative, 1 in sum.

    Raises:
        ConfigError: as `uniform`, or weights that are none.
    """
    aligned = aligned_members(members)
    if len(weights) != len(aligned) or (weights < 0).any() or not np.isclose(weights.sum(), 1, atol=1e-6):
        raise ConfigError(
            f"ensemble: expected {len(aligned)} weights, none negative, 1 in sum, found {np.asarray(weights).tolist()}"
        )
    return _combined(aligned, np.repeat(np.asarray(weights, np.float64)[:, None], len(aligned[0]), axis=1))


def log_pooled(members: Sequence[Posteriors]) -> Posteriors:
    """Sum of the members' log-probabilities; mean of their valences. Overconfident where members make the same errors: temper it.

    Raises:
        ConfigError: as `uniform`.
    """
    aligned = aligned_members(members)
    logs = np.log(np.maximum(np.stack([member.probabilities() for member in aligned]), _SMALLEST))
    return Posteriors(aligned[0].clip_ids, logs.sum(axis=0).astype(np.float32), uniform(aligned).valence)


def aligned_members(members: Sequence[Posteriors]) -> list[Posteriors]:
    """The members with their clips in the order of the first.

    Raises:
        ConfigError: no members, or members that predicted different clips or classes.
    """
    if not members:
        raise ConfigError("ensemble: expected at least one member, found none")
    clip_ids, classes = members[0].clip_ids, members[0].logits.shape[1]
    if any(set(member.clip_ids) != set(clip_ids) or member.logits.shape[1] != classes for member in members):
        raise ConfigError("ensemble: expected members on the same clips and classes, found different ones")
    return [member.restricted(clip_ids) for member in members]


def tempered(posteriors: Posteriors, temperature: float) -> Posteriors:
    """The same with logits divided by `temperature`."""
    logits = (posteriors.logits.astype(np.float64) / temperature).astype(np.float32)
    return Posteriors(posteriors.clip_ids, logits, posteriors.valence)


def _combined(members: Sequence[Posteriors], weights: Floats) -> Posteriors:
    probabilities = np.stack([member.probabilities() for member in members])  # (M, N, C)
    mixed = np.einsum("mn,mnc->nc", weights, probabilities)
    valence = np.stack([member.valence for member in members]).astype(np.float64)  # (M, N)
    known = ~np.isnan(valence)  # a member without valence has no say in it
    shares = np.where(known, weights, 0.0)
    total = shares.sum(axis=0)
    summed = (shares * np.where(known, valence, 0.0)).sum(axis=0)
    mean = np.where(total > 0, summed / np.where(total > 0, total, 1.0), np.nan)
    return Posteriors(
        members[0].clip_ids,
        np.log(np.maximum(mixed, _SMALLEST)).astype(np.float32),
        mean.astype(np.float32),
    )
