"""Losses of one clip's emotion under a distribution over classes as its target: cross-entropy and two that bear wrong labels.

With p the answer, t the target (one-hot for a hard label), C classes and t' = (1 - e) t + e / C its smoothed form:

    cross_entropy   -sum_c t'_c log p_c, times (1 - sum_c t_c p_c)^gamma under the focal loss
    generalised     sum_c t'_c (1 - p_c^q) / q
    symmetric       alpha (-sum_c t'_c log p_c) + beta (-sum_c p_c max(log t_c, A))

Known: generalised cross-entropy (Zhang & Sabuncu 2018; q = .7 there), symmetric cross-entropy (Wang et al. 2019; A stands for
log 0), the focal loss (Lin et al. 2017), all for hard labels without smoothing. Reconstruction: the forms for soft targets (the
expectation over the target; the focal power reads the probability expected to be right), and where smoothing enters: not into
the reverse part, which A bounds already. A class weight multiplies a clip's whole loss; of a soft target it is the expected one.

The generalised loss goes to cross-entropy as q goes to 0 and is the absolute error 1 - p at q = 1; a clip's slope is that of
cross-entropy times p^q, so a label that the model finds unlikely is hardly learnt. The focal factor does the opposite, and is
refused beside both. The reverse part alone is least at the target's likeliest class, not at the target: soft targets want a
small beta.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

LossKind = Literal["cross_entropy", "generalised", "symmetric"]


class LossForm(NamedTuple):
    """Form of the loss and its options."""

    kind: LossKind = "cross_entropy"
    smoothing: float = 0.0
    """Share e of the target spread over all classes."""
    focal: float = 0.0
    """Power gamma of the focal loss; 0: none."""
    power: float = 0.7
    """q of the generalised loss, in (0, 1]."""
    forward: float = 0.1
    """alpha of the symmetric loss."""
    reverse: float = 1.0
    """beta of the symmetric loss."""
    log_zero: float = -4.0
    """A of the symmetric loss, below 0."""


def clip_losses(log_p: Tensor, target: Tensor, form: LossForm) -> Tensor:
    """(...,) loss of every clip.

    Args:
        log_p: (..., C) logarithms of the answer's probabilities.
        target: (..., C) distribution over classes; zeros where there is none.
        form: of the loss.
    """
    smoothed = (1 - form.smoothing) * target + form.smoothing / target.shape[-1]
    if form.kind == "generalised":
        # expm1: 1 - p^q would be lost to rounding for small q
        return (smoothed * -torch.expm1(form.power * log_p) / form.power).sum(dim=-1)
    cross = -(smoothed * log_p).sum(dim=-1)
    if form.kind == "symmetric":
        logs = target.log().clamp_min(form.log_zero)  # of 0: minus infinity, which the floor replaces
        return form.forward * cross - form.reverse * (log_p.exp() * logs).sum(dim=-1)
    return cross * focal_factor((target * log_p.exp()).sum(dim=-1), form.focal)


def focal_factor(right: Tensor, gamma: float) -> Tensor | float:
    """(1 - right)^gamma of the probability (...,) of being right; 1 where gamma is 0."""
    if not gamma > 0:
        return 1.0
    # a floor: the slope of x^gamma at 0 is infinite for gamma < 1
    return (1 - right).clamp_min(1e-6) ** gamma


def untrained_loss(form: LossForm, classes: int) -> float:
    """Loss of a hard label under equal probabilities, without smoothing: about that of a model before its first step.

    Args:
        form: of the loss.
        classes: C.
    """
    chance = math.log(classes)
    if form.kind == "generalised":
        return float(-math.expm1(-float(form.power) * chance) / form.power)
    if form.kind == "symmetric":
        return float(form.forward * chance - form.reverse * form.log_zero * (1 - 1 / classes))
    return chance
