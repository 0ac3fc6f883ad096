"""Framewise streams: all clips' frames in one array, padded only when a batch is made."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Frames:
    """One stream of N clips, frame by frame."""

    values: Tensor
    """(sum of T, D)"""
    offsets: Tensor
    """(N + 1,) int64: clip i has frames offsets[i] .. offsets[i + 1] - 1."""
    present: Tensor
    """(N,) bool; an absent clip's frames are not read."""

    @property
    def lengths(self) -> Tensor:
        """(N,) frames of every clip."""
        return self.offsets.diff()

    def padded(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """The clips at `index` as (B, T, D), zeros where padded or absent, and (B, T) bool, true at valid frames.

        T is the longest of them, and at least 1.
        """
        first = self.offsets[index]
        lengths = (self.offsets[index + 1] - first) * self.present[index]
        steps = torch.arange(max(int(lengths.max()) if len(index) else 0, 1))
        mask = steps < lengths[:, None]  # (B, T)
        values = self.values.new_zeros(*mask.shape, self.values.shape[1])
        values[mask] = self.values[(first[:, None] + steps)[mask]]
        return values, mask
