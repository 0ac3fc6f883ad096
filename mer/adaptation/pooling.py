"""Pooling over time under a mask: padding enters no statistic."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def masked_mean_std(hidden: Tensor, mask: Tensor) -> Tensor:
    """Mean and population standard deviation over the valid frames, side by side.

    Args:
        hidden: (batch, frames, width) hidden states.
        mask: (batch, frames) True at valid frames; a clip without any gives zeros.

    Returns:
        (batch, 2 * width): means, then standard deviations.
    """
    return weighted_mean_std(hidden, mask.to(hidden.dtype))


def weighted_mean_std(hidden: Tensor, weight: Tensor) -> Tensor:
    """Mean and standard deviation over frames of unequal weight, side by side.

    Args:
        hidden: (batch, frames, width).
        weight: (batch, frames) at least 0, of any sum; weights below 1 in all count as if the rest were zeros.

    Returns:
        (batch, 2 * width).
    """
    weight = weight.unsqueeze(-1)  # (batch, frames, 1)
    count = weight.sum(dim=1).clamp(min=1.0)  # (batch, 1)
    mean = (hidden * weight).sum(dim=1) / count  # (batch, width)
    centred = hidden - mean.unsqueeze(1)
    variance = (centred.square() * weight).sum(dim=1) / count
    # The root's slope is infinite at 0 (a clip of one frame): the floor keeps the gradient finite.
    deviation = variance.clamp(min=1e-12).sqrt() * (variance > 1e-12)
    return torch.cat([mean, deviation], dim=-1)


class MeanStdPooling(nn.Module):
    """`masked_mean_std` as a module without parameters."""

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """(batch, frames, width) under mask (batch, frames) -> (batch, 2 * width)."""
        return masked_mean_std(hidden, mask)


class AttentivePooling(nn.Module):
    """Attentive statistics pooling (Okabe et al. 2018): mean and deviation weighted by learned attention.

    Reconstruction: the scorer `w^T tanh(W norm(h))`, w zero at the start, so that an untrained pooling is
    `masked_mean_std` and the head's statistics fit both.

    Args:
        width: features of a frame.
        hidden: size of the scorer's inner layer (features).
    """

    def __init__(self, width: int, hidden: int = 64) -> None:
        super().__init__()
        self.inner = nn.Linear(width, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)
        nn.init.zeros_(self.score.weight)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """(batch, frames, width) under mask (batch, frames) -> (batch, 2 * width); no valid frame gives zeros."""
        normed = functional.layer_norm(hidden, hidden.shape[-1:])
        scores = self.score(torch.tanh(self.inner(normed)))[..., 0].float()  # (batch, frames)
        # the lowest finite value instead of minus infinity: a row without valid frames gives no NaN
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        return weighted_mean_std(hidden, torch.softmax(scores, dim=1) * mask)
