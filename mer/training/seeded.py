"""Initialisation and dropout from explicit generators.

PyTorch's own draw from one global generator, which two fits in one process (tasks in threads) would share:
the result would depend on who came first.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn


class SeededDropout(nn.Module):
    """Dropout whose masks come from the generator set by `seed_dropout`.

    Args:
        probability: chance that a value is zeroed in training; the others are scaled up.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability
        self.generator: torch.Generator | None = None
        self.drop: Callable[[Tensor], Tensor] | None = None
        """Drops values in training in place of this module's own draw: how a stack of models passes its masks in."""

    def forward(self, values: Tensor) -> Tensor:
        """Same shape; unchanged outside training."""
        if self.training and self.drop is not None:
            return self.drop(values)
        if not self.training or self.probability == 0.0:
            return values
        drawn = torch.rand(values.shape, generator=self.generator, dtype=values.dtype)
        return values * (drawn >= self.probability) / (1.0 - self.probability)


def seed_dropout(module: nn.Module, generator: torch.Generator) -> None:
    """Let every `SeededDropout` inside `module` draw from `generator`, in the order of use."""
    for part in module.modules():
        if isinstance(part, SeededDropout):
            part.generator = generator


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """PyTorch's default initialisation of linear layers, drawn from `generator`."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.kaiming_uniform_(part.weight, a=math.sqrt(5), generator=generator)
            if part.bias is not None:
                bound = 1 / math.sqrt(part.in_features)
                nn.init.uniform_(part.bias, -bound, bound, generator=generator)
