"""Valence with calibrated posteriors in it, and with the share of the model's own part that held-out clips choose.

    valence = sum_c p_c(T) m_c + share * (model's valence - sum_c p_c m_c),  share in [0, 1]

p are the posteriors, p(T) the same at their fitted temperature, m_c the mean valence of class c's training clips. Joint decoding
adds what it reads off the fused vector to the classes' means under its posteriors. On few clips both overfit: a temperature mends
the posteriors, this share the rest; 0 is class-mean decoding by calibrated posteriors, 1 at temperature 1 the model as it is. The
least squared error has a closed form. Reconstruction: ours, not the paper's. Compared on validation clips: docs/experiments.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.ensemble.combine import tempered
from mer.posteriors import Posteriors

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class ValenceLabels:
    """Labels by which the share is fitted."""

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
    by_class = [valence[known & (emotion == label)] for label in range(classes)]
    return np.array(
        [float(values.mean()) if len(values) else overall for values in by_class], dtype=np.float32
    )


def calibrated(posteriors: Posteriors, temperature: float, class_means: Floats, share: float) -> Posteriors:
    """Logits at the temperature, valence as in the module's formula; unknown valence (NaN) stays unknown."""
    cooled = tempered(posteriors, temperature)
    valence = _class_mean(cooled, class_means) + share * _residual(posteriors, class_means)
    return Posteriors(posteriors.clip_ids, cooled.logits, valence.astype(np.float32))


def fit_valence_share(
    held_out: Sequence[Posteriors], temperatures: Sequence[float], labels: ValenceLabels
) -> float:
    """The share in [0, 1] with the least squared error over all these models: one number, as few clips cannot tell several apart.

    1 where no clip has both a valence and a model's answer, or no model says anything beyond class means.

    Args:
        held_out: posteriors of models that were not trained on the clips, all in the order of the labels.
        temperatures: one per model, as fitted.
        labels: valence of those clips, and the class means.
    """
    products = squares = 0.0
    for posteriors, temperature in zip(held_out, temperatures, strict=True):
        residual = _residual(posteriors, labels.class_means)
        target = labels.held_out - _class_mean(tempered(posteriors, temperature), labels.class_means)
        known = np.isfinite(residual) & np.isfinite(target)
        products += float(residual[known] @ target[known])
        squares += float(residual[known] @ residual[known])
    return min(max(products / squares, 0.0), 1.0) if squares > 0 else 1.0


def _class_mean(posteriors: Posteriors, class_means: Floats) -> NDArray[np.float64]:
    return np.asarray(posteriors.probabilities() @ np.asarray(class_means, np.float64))


def _residual(posteriors: Posteriors, class_means: Floats) -> NDArray[np.float64]:
    return posteriors.valence.astype(np.float64) - _class_mean(posteriors, class_means)
