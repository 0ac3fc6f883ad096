"""Valence between what a model says and what its posteriors say, by a share that held-out clips choose.

    valence = sum_c p_c m_c + share * (model's valence - sum_c p_c m_c),  share in [0, 1]

p are the calibrated posteriors, m_c the mean valence of class c's training clips. On few clips the part of valence that a model
reads off the fused vector overfits as its logits do; a temperature cools the logits, this share cools that part: 0 is class-mean
decoding, 1 the model as it is. The least squared error has a closed form. Reconstruction: ours, not the paper's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.ensemble.posteriors import Posteriors

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class ValenceLabels:
    """What the share is fitted by."""

    held_out: Floats
    """(N,) valence of the held-out clips in [-5, 5], NaN = unknown."""
    class_means: Floats
    """(C,) mean valence of every class' training clips."""


def class_mean_valence(emotion: NDArray[np.int64], valence: Floats, classes: int) -> NDArray[np.float32]:
    """(C,) mean valence of every class' clips; the mean of all clips for a class without any, 0 without any valence.

    Args:
        emotion: (N,) class index, -1 = unlabelled.
        valence: (N,) NaN = unknown.
        classes: C.
    """
    known = np.isfinite(valence)
    overall = float(valence[known].mean()) if known.any() else 0.0
    own = [valence[known & (emotion == label)] for label in range(classes)]
    return np.array([float(one.mean()) if len(one) else overall for one in own], dtype=np.float32)


def decoded_by_class_means(posteriors: Posteriors, class_means: Floats) -> Posteriors:
    """The same posteriors with valence sum_c p_c m_c."""
    valence = (posteriors.probabilities() @ np.asarray(class_means, np.float64)).astype(np.float32)
    return Posteriors(posteriors.clip_ids, posteriors.logits, valence)


def toward_class_means(posteriors: Posteriors, class_means: Floats, share: float) -> Posteriors:
    """The same posteriors with `share` of their own valence's distance from class-mean decoding; unknown (NaN) stays unknown."""
    decoded = decoded_by_class_means(posteriors, class_means).valence.astype(np.float64)
    valence = decoded + share * (posteriors.valence.astype(np.float64) - decoded)
    return Posteriors(posteriors.clip_ids, posteriors.logits, valence.astype(np.float32))


def fit_valence_share(held_out: Sequence[Posteriors], labels: ValenceLabels) -> float:
    """The share in [0, 1] with the least squared error over all these models: one number, as few clips cannot tell several apart.

    1 where no clip has both a valence and a model's answer, or no model says anything beyond class means.

    Args:
        held_out: calibrated posteriors of models that were not trained on the clips, all in the order of the labels.
        labels: valence of those clips, and the class means.
    """
    products = squares = 0.0
    for own in held_out:
        decoded = decoded_by_class_means(own, labels.class_means).valence.astype(np.float64)
        beyond, wanted = own.valence.astype(np.float64) - decoded, labels.held_out - decoded
        known = np.isfinite(beyond) & np.isfinite(wanted)
        products += float(beyond[known] @ wanted[known])
        squares += float(beyond[known] @ beyond[known])
    return min(max(products / squares, 0.0), 1.0) if squares > 0 else 1.0
