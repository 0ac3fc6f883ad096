"""Losses of the emotion and valence heads, with weights and missing labels."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

ClassWeighting = Literal["none", "balanced", "square_root"]


def class_weights(labels: NDArray[np.int64], classes: int, weighting: ClassWeighting) -> Tensor:
    """(C,) weight of every class, 1 on average over the labelled clips; 1 for classes that do not occur.

    Args:
        labels: (N,) class index; -1 is left out.
        classes: number of classes C.
        weighting: 1, 1 / frequency, or the square root of that.
    """
    counts = np.bincount(labels[labels >= 0], minlength=classes).astype(np.float64)
    power = {"none": 0.0, "balanced": 1.0, "square_root": 0.5}[weighting]
    weights = np.where(counts > 0, np.maximum(counts, 1) ** -power, 0.0)
    mean = (weights * counts).sum() / max(counts.sum(), 1)
    return torch.from_numpy(np.where(counts > 0, weights / max(mean, 1e-12), 1.0)).float()


def emotion_loss(
    logits: Tensor, labels: Tensor, weights: Tensor, per_class: Tensor, label_smoothing: float = 0.0
) -> Tensor:
    """Mean cross-entropy over the labelled clips of a batch; 0 where there is none.

    Args:
        logits: (B, C).
        labels: (B,) class index; -1 = unlabelled.
        weights: (B,) weight per clip.
        per_class: (C,) weight per class.
        label_smoothing: share of the target spread over all classes.
    """
    known = labels >= 0
    safe = labels.clamp_min(0)
    losses = functional.cross_entropy(logits, safe, reduction="none", label_smoothing=label_smoothing)
    own = weights * per_class[safe] * known
    # divided by the clips' weights, not by the class weights: a rare class must not only count more within
    # its batch
    return (losses * own).sum() / (weights * known).sum().clamp_min(1e-8)


def valence_loss(predicted: Tensor, valence: Tensor, weights: Tensor) -> Tensor:
    """Mean squared error over the clips of a batch whose valence is known (not NaN); 0 where there is none.

    Args:
        predicted: (B,).
        valence: (B,) NaN = missing.
        weights: (B,) weight per clip.
    """
    known = ~torch.isnan(valence)
    errors = (predicted - torch.nan_to_num(valence)) ** 2
    own = weights * known
    return (errors * own).sum() / own.sum().clamp_min(1e-8)
