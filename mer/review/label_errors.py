"""Likely label errors by confident learning (Northcutt, Jiang and Chuang 2021, section 3.1; known).

Who is confidently of class j: a clip whose out-of-fold probability of j is at least the mean of that of the clips labelled j.
A clip that is confidently of another class than its label says is likely mislabelled. Rare classes thus need less confidence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LabelErrors:
    """What out-of-fold probabilities say of labels."""

    likely_wrong: NDArray[np.bool_]
    """(N,) off the diagonal of the confident joint, and not what the model names first."""
    suggested: NDArray[np.int64]
    """(N,) the class that a clip is confidently of; its label where it is confidently of none."""
    label_probability: Floats
    """(N,) probability of the label: the lower, the more likely wrong."""
    joint: NDArray[np.int64]
    """(C, C) confident joint: rows labels, columns what clips are confidently of."""
    thresholds: Floats
    """(C,) mean probability of a class among the clips labelled so; NaN where there is none."""


def find_label_errors(probabilities: Floats, labels: NDArray[np.int64]) -> LabelErrors:
    """Find labels that their clips' out-of-fold probabilities contradict.

    Args:
        probabilities: (N, C) by models that have not learnt the clip's label.
        labels: (N,) class indices.

    Raises:
        ConfigError: shapes that do not fit, or labels outside 0 to C-1.
    """
    if probabilities.ndim != 2 or labels.shape != (len(probabilities),):
        raise ConfigError(
            f"label errors: expected probabilities (clips, classes) and labels (clips,), found {probabilities.shape} and "
            f"{labels.shape}"
        )
    classes = probabilities.shape[1]
    if len(labels) and (labels.min() < 0 or labels.max() >= classes):
        raise ConfigError(
            f"label errors: expected labels 0 to {classes - 1}, found {labels.min()} to {labels.max()}"
        )
    thresholds = np.full(classes, np.nan)
    for kind in np.unique(labels):
        thresholds[kind] = probabilities[labels == kind, kind].mean()
    # a class nobody is labelled as has no threshold; the tolerance keeps a clip that makes up a threshold alone above it
    confident = probabilities >= np.where(np.isnan(thresholds), np.inf, thresholds) - 1e-12
    among = np.where(confident, probabilities, -1.0)
    suggested = np.where(confident.any(axis=1), among.argmax(axis=1), labels)
    joint = np.zeros((classes, classes), dtype=np.int64)
    sure = confident.any(axis=1)
    np.add.at(joint, (labels[sure], suggested[sure]), 1)
    named = probabilities.argmax(axis=1)
    return LabelErrors(
        likely_wrong=np.asarray((suggested != labels) & (named != labels)),
        suggested=np.asarray(suggested, dtype=np.int64),
        label_probability=np.asarray(probabilities[np.arange(len(labels)), labels], dtype=np.float64),
        joint=joint,
        thresholds=thresholds,
    )
