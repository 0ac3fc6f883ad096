"""A running average of the parameters over the steps, in use while a fit is judged (as in the fusion's fits)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


class RunningAverage:
    """Averages tensors that an optimiser changes in place.

    Args:
        own: the tensors by name; their average has the same names.
        decay: share that a step keeps, [0, 1); early steps keep less, so that the start is soon forgotten. 0: no average.
    """

    def __init__(self, tensors: Mapping[str, Tensor], decay: float) -> None:
        self._tensors = dict(tensors)
        self._decay = decay
        self.steps = 0
        self.values: dict[str, Tensor] = {}
        """The average by name; empty before the first step, and without decay."""

    @torch.no_grad()
    def update(self) -> None:
        """Move the average toward the current tensors."""
        if self._decay == 0.0:
            return
        self.steps += 1
        if not self.values:
            self.values = {name: value.detach().clone() for name, value in self._tensors.items()}
            return
        # early steps count more, so that the start is soon forgotten
        decay = min(self._decay, self.steps / (self.steps + 9))
        current = [value.detach() for value in self._tensors.values()]
        torch._foreach_lerp_([self.values[name] for name in self._tensors], current, 1.0 - decay)

    def restore(self, values: Mapping[str, Tensor], steps: int) -> None:
        """Continue from saved `values` and `steps`."""
        self.steps = steps
        self.values = {name: value.to(self._tensors[name].device) for name, value in values.items()}

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Within the block, the tensors hold their average; afterwards what they held."""
        if not self.values:
            yield
            return
        before = {name: value.detach().clone() for name, value in self._tensors.items()}
        self._write(self.values)
        try:
            yield
        finally:
            self._write(before)

    @torch.no_grad()
    def _write(self, values: Mapping[str, Tensor]) -> None:
        for name, value in self._tensors.items():
            value.copy_(values[name])
