"""Pooling over time under a mask: padding enters no statistic."""

from __future__ import annotations

import torch
from torch import Tensor


def masked_mean_std(hidden: Tensor, mask: Tensor) -> Tensor:
    """Mean and population standard deviation over the valid frames, side by side.

    Args:
        hidden: (batch, frames, width) hidden states.
        mask: (batch, frames) True at valid frames; a clip without any gives zeros.

    Returns:
        (batch, 2 * width): means, then standard deviations.
    """
    weight = mask.unsqueeze(-1).to(hidden.dtype)  # (batch, frames, 1)
    count = weight.sum(dim=1).clamp(min=1.0)  # (batch, 1)
    mean = (hidden * weight).sum(dim=1) / count  # (batch, width)
    centred = (hidden - mean.unsqueeze(1)) * weight
    variance = centred.square().sum(dim=1) / count
    # The root's slope is infinite at 0 (a clip of one frame): the floor keeps the gradient finite.
    deviation = variance.clamp(min=1e-12).sqrt() * (variance > 1e-12)
    return torch.cat([mean, deviation], dim=-1)
