"""Framewise streams of a stack: frames of many clips in one array, which any number of views read without a copy."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from mer.features.dataset import RaggedTable
from mer.fusion.streams import flat_values

_CLIPS_AT_ONCE = 256
"""Clips whose frames are read together for means and deviations: bounds the memory of a pass over all frames."""


@dataclass
class FrameStore:
    """Frames of clips, resident once. It only grows: where a clip's frames begin does not change."""

    values: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    """(sum of T, D) float32, not standardised."""
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Clip -> first frame, number of frames."""

    def add(self, name: str, table: RaggedTable) -> StackFrames:
        """The table's clips; frames of clips that are here already are not read again.

        Args:
            name: stream, for messages.
            table: framewise features. A clip that is here must have the same frames as before.

        Raises:
            ConfigError: features of a present clip that are not finite.
        """
        counts, new = np.diff(table.offsets), [clip not in self.places for clip in table.clip_ids]
        if any(new):
            values = torch.from_numpy(flat_values(name, table))
            if not all(new):
                values = values[torch.from_numpy(np.repeat(new, counts))]
            first = len(self.values)
            for clip, count, missing in zip(table.clip_ids, counts.tolist(), new, strict=True):
                if missing:
                    self.places[clip] = (first, count)
                    first += count
            self.values = torch.cat([self.values, values]) if len(self.values) else values
        own = torch.tensor([self.places[clip] for clip in table.clip_ids], dtype=torch.int64).reshape(-1, 2)
        return StackFrames(self, own[:, 0].contiguous(), own[:, 1].contiguous())


@dataclass(frozen=True)
class StackFrames:
    """One stream of N clips, frame by frame, not standardised."""

    store: FrameStore
    """May hold frames of other clips as well."""
    first: Tensor
    """(N,) int64 first frame of each clip in the store."""
    counts: Tensor
    """(N,) int64 frames of each clip, at least 1."""

    @property
    def width(self) -> int:
        """Features of a frame."""
        return int(self.store.values.shape[1])

    def to(
        self, device: str | torch.device, dtype: torch.dtype | None, moved: dict[int, FrameStore]
    ) -> StackFrames:
        """The same on a device; `moved` (by identity) remembers stores that are there already."""
        if id(self.store) not in moved:
            values = self.store.values
            moved[id(self.store)] = replace(self.store, values=values.to(device, dtype or values.dtype))
        return StackFrames(moved[id(self.store)], self.first.to(device), self.counts.to(device))

    def padded(
        self, index: Tensor, present: Tensor, shift: Tensor | None = None, scale: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The clips at `index` as (B, T, D), zeros where padded or absent, and (B, T) bool, true at valid frames.

        Args:
            index: (B,) clips; T is the longest of them that is present, at least 1.
            present: (B,) bool, of these clips; frames of the others are not read.
            shift: (D,) added after scaling; None: values as they are.
            scale: (D,) multiplies values; given with `shift`.
        """
        counts = self.counts.index_select(0, index) * present
        steps = torch.arange(max(int(counts.max()), 1), device=index.device)
        mask = steps < counts[:, None]  # (B, T)
        rows = (self.first.index_select(0, index)[:, None] + steps)[mask]
        read = self.store.values.index_select(0, rows)
        if shift is not None and scale is not None:
            read = torch.addcmul(shift, read.to(scale.dtype), scale)
        values = read.new_zeros(*mask.shape, self.width)
        values[mask] = read
        return values, mask

    def means(self, present: Tensor) -> Tensor:
        """(N, D) float32 mean of every clip's frames; zeros for absent clips."""
        parts = []
        for index in torch.split(torch.arange(len(self.first), device=self.first.device), _CLIPS_AT_ONCE):
            values, mask = self.padded(index, present[index])
            count = mask.sum(dim=1, keepdim=True).clamp_min(1)
            parts.append(values.float().sum(dim=1) / count)
        return torch.cat(parts) if parts else self.store.values.new_zeros(0, self.width).float()

    def mean_and_deviation(self, used: Tensor) -> tuple[Tensor, Tensor] | None:
        """(D,) each, float64, over all frames of the clips `used` (N,) bool; None where there are none."""
        rows = torch.split(torch.nonzero(used).squeeze(1), _CLIPS_AT_ONCE)
        count = int(self.counts[used].sum())
        if not count:
            return None
        mean = sum((self._frames_of(own).sum(dim=0) for own in rows), torch.zeros(())) / count
        square = sum(((self._frames_of(own) - mean).square().sum(dim=0) for own in rows), torch.zeros(()))
        return mean, (square / count).sqrt()

    def _frames_of(self, index: Tensor) -> Tensor:
        counts = self.counts[index]
        steps = torch.arange(int(counts.max()), device=index.device)
        rows = (self.first[index][:, None] + steps)[steps < counts[:, None]]
        return self.store.values.index_select(0, rows).double()
