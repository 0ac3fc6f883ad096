"""Building blocks of gradient fits: the step-size schedule, seeded global generators, and the guard against NaN."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from mer.errors import DivergedError

MAX_SKIPPED_STEPS = 3


class StepGuard:
    """Counts steps whose loss or gradient was not finite; the fourth one of a fit ends it."""

    def __init__(self, skipped: int = 0) -> None:
        self.skipped = skipped

    def accepts(self, loss: Tensor, gradient_norm: Tensor, *, where: str) -> bool:
        """Whether the step may be taken.

        Args:
            loss: () of the step.
            gradient_norm: () total norm of the gradients.
            where: the place for the message, such as `epoch 3`.

        Raises:
            DivergedError: more than `MAX_SKIPPED_STEPS` steps had to be skipped.
        """
        if bool(torch.isfinite(loss)) and bool(torch.isfinite(gradient_norm)):
            return True
        self.skipped += 1
        if self.skipped > MAX_SKIPPED_STEPS:
            raise DivergedError(
                f"{where}: expected finite loss and gradient, found loss {float(loss)} and gradient norm "
                f"{float(gradient_norm)} ({self.skipped} steps of this kind in all); "
                "lower the learning rate or check the features"
            )
        return False


def warmup_cosine(step: int, total: int, warmup_share: float) -> float:
    """Factor of the peak step size at `step` of `total`: linear rise over the warm-up, half cosine to 0."""
    warmup = warmup_share * total
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(total - warmup, 1.0)))


@contextmanager
def seeded(generator: torch.Generator) -> Iterator[None]:
    """Seed torch's global generators (initialisation and dropout draw from them) for a block.

    The caller's generators are as before afterwards.
    """
    with torch.random.fork_rng():
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        yield
