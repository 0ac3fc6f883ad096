"""Weights of an ensemble with the best held-out likelihood.

The mean log-likelihood of a mixture is concave in its weights on the simplex, so the optimum is global. Solver: expectation
maximisation for mixture proportions (known), which never leaves the simplex and never gets worse. By concavity the likelihood
lies below the optimum by at most max_m g_m - 1, g its gradient; that gap ends the iteration.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mer.ensemble.combine import aligned_members
from mer.errors import ConfigError
from mer.posteriors import Posteriors

_SMALLEST = 1e-12


def stacked_weights(
    members: Sequence[Posteriors],
    truth: NDArray[np.int64],
    *,
    tolerance: float = 1e-6,
    iterations: int = 20_000,
) -> NDArray[np.float64]:
    """Simplex weights that maximise the likelihood of held-out true labels.

    Args:
        members: M models' posteriors of the same held-out clips.
        truth: (N,) class index of the first member's clips; -1 is left out.
        tolerance: largest loss in mean log-likelihood against the optimum.
        iterations: most steps.

    Returns:
        (M,) weights, 1 in sum; equal ones where no clip has a label.

    Raises:
        ConfigError: members that do not fit together, or labels of another number of clips.
    """
    aligned = aligned_members(members)
    if len(truth) != len(aligned[0]):
        raise ConfigError(f"stacking: expected {len(aligned[0])} labels, found {len(truth)}")
    known = np.flatnonzero(truth >= 0)
    weights = np.full(len(aligned), 1 / len(aligned))
    if not known.size:
        return weights
    likelihoods = np.stack([member.probabilities()[known, truth[known]] for member in aligned])  # (M, N)
    likelihoods = np.maximum(likelihoods, _SMALLEST)
    # EM for mixture weights: it stays on the simplex, and max(gradient) - 1 bounds the distance from the optimum
    for _ in range(iterations):
        gradient = (likelihoods / (weights @ likelihoods)).mean(axis=1)  # (M,)
        if gradient.max() - 1 <= tolerance:
            break
        weights = weights * gradient
        weights /= weights.sum()
    return weights
