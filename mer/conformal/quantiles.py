"""Quantiles of scores in which every speaker counts the same, however many clips there are of each.

A new clip is of a new speaker. Clips of one speaker are alike, so what holds for a new one is not the distribution over clips but
the mean of the speakers' distributions (pooled CDFs: Dunn, Wasserman and Ramdas 2022, section 4; known). Where each clip is of
its own speaker, this is the quantile of split conformal prediction.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mer.evaluation.intervals import resampling_groups

Floats = NDArray[np.float64]
_ROUNDING = 1e-9


def speaker_weights(speakers: Sequence[str | None]) -> Floats:
    """(N,) weights of clips, 1 in sum: all speakers have the same, shared by their clips.

    A clip of unknown speaker is one by itself, and so is each clip where there is a single speaker.
    """
    groups = resampling_groups(speakers, len(speakers))
    counts = np.bincount(groups)
    weights: Floats = 1 / counts[groups] / len(counts)
    return weights


def thresholds(scores: Floats, weights: Floats, coverages: Floats) -> Floats:
    """Least score below or at which the share `coverage` of the weight lies, with one clip more that lies above all.

    Args:
        scores: (N,) of the true classes.
        weights: (N,) 1 in sum.
        coverages: (K,) within 0..1.

    Returns:
        (K,) infinite where the clips are too few to say.
    """
    order = np.argsort(scores, kind="stable")
    reached = np.cumsum(weights[order])
    needed = coverages * (1 + 1 / len(scores)) - _ROUNDING
    place = np.searchsorted(reached, needed, side="left")
    sorted_scores = np.append(scores[order], np.inf)
    found: Floats = sorted_scores[place]
    return found
