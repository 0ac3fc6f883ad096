"""Losses of the emotion and valence heads, with weights and missing labels, and how the two are balanced.

`mer.training.loss_forms` has the losses of one clip's emotion. Known: class weights by the effective number of examples (Cui et
al. 2019), the uncertainty weighting (Kendall et al. 2018, named by Wang et al. 2023, arXiv 2309.07925). Reconstruction: that its
class part is `exp(-s_e) CE + s_e / 2` and the floor under the squared error.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mer.training.loss_forms import LossForm, clip_losses, focal_factor

ClassWeighting = Literal["none", "balanced", "square_root", "effective_number"]
EFFECTIVE_BETA = 0.999
"""Default share of a new example that overlaps with the ones before it (Cui et al. use .9 to .9999)."""
VALENCE_FLOOR = 1e-6
"""Added to the squared error under a learned weight: as the error goes to 0 the weight stays below 1e6, and finite."""


def class_weights(
    labels: NDArray[np.int64],
    classes: int,
    weighting: ClassWeighting,
    beta: float = EFFECTIVE_BETA,
    target: NDArray[np.floating] | None = None,
) -> Tensor:
    """(C,) weight of every class, 1 on average over the labelled clips; 1 for classes that do not occur.

    Args:
        labels: (N,) class index; -1 is left out.
        classes: number of classes C.
        weighting: 1, 1 / frequency, the square root of that, or 1 / effective number (1 - beta^n) / (1 - beta).
        beta: of the effective number, in [0, 1): 0 weighs all classes alike, toward 1 it becomes 1 / frequency.
        target: (N, C) distributions in place of the labels, of which they say only who is labelled: expected counts.
    """
    if target is None:
        counts = np.bincount(labels[labels >= 0], minlength=classes).astype(np.float64)
    else:
        counts = target[labels >= 0].sum(axis=0, dtype=np.float64)
    if weighting == "effective_number":
        weights = np.where(counts > 0, (1 - beta) / (1 - beta ** np.maximum(counts, 1)), 0.0)
    else:
        power = {"none": 0.0, "balanced": 1.0, "square_root": 0.5}[weighting]
        weights = np.where(counts > 0, np.maximum(counts, 1) ** -power, 0.0)
    mean = (weights * counts).sum() / max(counts.sum(), 1)
    return torch.from_numpy(np.where(counts > 0, weights / max(mean, 1e-12), 1.0)).float()


def emotion_loss(
    logits: Tensor,
    labels: Tensor,
    weights: Tensor,
    per_class: Tensor,
    form: LossForm = LossForm(),  # noqa: B008 (immutable)
    target: Tensor | None = None,
) -> Tensor:
    """Mean loss over the labelled clips of a batch; 0 where there is none.

    Args:
        logits: (B, C).
        labels: (B,) class index; -1 = unlabelled.
        weights: (B,) weight per clip.
        per_class: (C,) weight per class.
        form: which loss.
        target: (B, C) distributions that replace the labels, which then say only who is labelled; None: one-hot.
    """
    known = labels >= 0
    safe = labels.clamp_min(0)
    if target is None and form.kind == "cross_entropy":
        losses = functional.cross_entropy(
            logits, safe, reduction="none", label_smoothing=float(form.smoothing)
        )
        if form.focal > 0:
            right = torch.log_softmax(logits, dim=1).gather(1, safe[:, None])[:, 0].exp()
            losses = losses * focal_factor(right, form.focal)
        of_class = per_class[safe]
    else:
        distribution = (
            functional.one_hot(safe, logits.shape[1]).to(logits.dtype) if target is None else target
        )
        losses, of_class = (
            clip_losses(torch.log_softmax(logits, dim=1), distribution, form),
            distribution @ per_class,
        )
    counted = weights * of_class * known
    # divided by the clips' weights, not by the class weights: a rare class must not only count more within
    # its batch
    return (losses * counted).sum() / (weights * known).sum().clamp_min(1e-8)


def valence_loss(predicted: Tensor, valence: Tensor, weights: Tensor) -> Tensor:
    """Mean squared error over the clips of a batch whose valence is known (not NaN); 0 where there is none.

    Args:
        predicted: (B,).
        valence: (B,) NaN = missing.
        weights: (B,) weight per clip.
    """
    known = ~torch.isnan(valence)
    errors = (predicted - torch.nan_to_num(valence)) ** 2
    known_weights = weights * known
    return (errors * known_weights).sum() / known_weights.sum().clamp_min(1e-8)


def uncertainty_weighted(emotion: Tensor, valence: Tensor, log_variance: Tensor, known: Tensor) -> Tensor:
    """`exp(-s_e) CE + 1/2 exp(-s_v) MSE + 1/2 (s_e + s_v)`; at the optimum `exp(s_e) = 2 CE` and `exp(s_v) = MSE`.

    Args:
        emotion: () cross-entropy CE.
        valence: () squared error MSE.
        log_variance: (2,) learned s_e, s_v.
        known: (2,) 1 where the batch has labels of the task, else 0: a task without labels must not move its s.
    """
    errors = torch.stack([emotion, 0.5 * (valence + VALENCE_FLOOR)])
    return ((torch.exp(-log_variance) * errors + 0.5 * log_variance) * known).sum()


def settled_log_variance(emotion: float, valence: float) -> tuple[float, float]:
    """(s_e, s_v) at the optimum of `uncertainty_weighted` for a cross-entropy and a squared error, both above 0."""
    return float(np.log(2 * emotion)), float(np.log(valence + VALENCE_FLOOR))


def gradient_balance(norms: Tensor, losses: Tensor, starts: Tensor, weights: Tensor, alpha: float) -> Tensor:
    """Slope of the GradNorm objective by the tasks' weights (Chen et al. 2018, equation 2).

    Every task's weighted gradient is pulled to the tasks' mean gradient, times its relative training rate to the power alpha.

    Args:
        norms: (K,) norm of each task's unweighted gradient.
        losses: (K,) losses now.
        starts: (K,) losses of the untrained model.
        weights: (K,) weights now, positive.
        alpha: how strongly slow tasks are helped; 0: equal gradients.

    Returns:
        (K,) derivative of sum_k |w_k G_k - target_k|, target held fixed.
    """
    rates = losses / starts.clamp_min(1e-8)
    target = (weights * norms).mean() * (rates / rates.mean().clamp_min(1e-8)) ** alpha
    return torch.sign(weights * norms - target) * norms
