"""Draws from explicit generators, derived from what they are for: an epoch draws the same numbers after an interruption.

PyTorch's own draws (initialisation, dropout) come from one global generator, which two fits in one process (tasks in threads)
would share: the result would depend on who came first.
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor, nn


def derive_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for the purpose that `names` spell out; different purposes are independent."""
    text = "\0".join(str(item) for item in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "big") >> 1


def epoch_generator(seed: int, epoch: int, *names: str) -> torch.Generator:
    """A fresh generator on the processor for one epoch and one purpose (`names`, e.g. "order", "mask").

    It depends on its arguments alone, never on what was drawn before: a run resumed at `epoch` repeats the
    undisturbed one.
    """
    return torch.Generator().manual_seed(derive_seed(seed, "epoch", epoch, *names))


class SeededDropout(nn.Module):
    """Dropout whose masks come from the generator set by `seed_dropout`.

    Args:
        probability: chance that a value is zeroed in training; the others are scaled up.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability
        self.generator: torch.Generator | None = None

    def forward(self, values: Tensor) -> Tensor:
        """Same shape; unchanged outside training."""
        if not self.training or self.probability == 0.0:
            return values
        drawn = torch.rand(values.shape, generator=self.generator, dtype=values.dtype)
        # in place, and as numbers: a mask of bool would be converted first
        return (values * drawn.ge_(self.probability)).div_(1.0 - self.probability)


def seed_dropout(module: nn.Module, generator: torch.Generator) -> None:
    """Let every `SeededDropout` inside `module` draw from `generator`, in the order of use."""
    for layer in module.modules():
        if isinstance(layer, SeededDropout):
            layer.generator = generator


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """PyTorch's default initialisation of linear layers, drawn from `generator`."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
            if layer.bias is not None:
                bound = 1 / math.sqrt(layer.in_features)
                nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
