"""Framewise streams: frames of many clips in one array that several views may share, padded only when a batch is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

_CLIPS_AT_ONCE = 64
"""Clips whose frames are averaged together: bounds the memory of that."""


@dataclass
class FrameStore:
    """Frames of clips, resident once. It only grows: where a clip's frames begin does not change."""

    values: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    """(sum of T, D) float32"""
    clips: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Clip -> first frame, number of frames; not filled for an array that is not shared."""

    def add(self, clip_ids: Sequence[str], values: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
        """(N,) first frame and (N,) number of frames of these clips; frames of a clip that is here already are not copied.

        Args:
            clip_ids: N clips; one that is here must have the same frames as before.
            values: (sum of T, D) float32.
            offsets: (N + 1,) int64: clip i has frames offsets[i] .. offsets[i + 1] - 1.
        """
        counts = offsets.diff()
        new = torch.tensor([clip not in self.clips for clip in clip_ids], dtype=torch.bool)
        first = len(self.values)
        for clip, count, missing in zip(clip_ids, counts.tolist(), new.tolist(), strict=True):
            if missing:
                self.clips[clip] = (first, count)
                first += count
        if bool(new.any()):
            added = values if bool(new.all()) else values[new.repeat_interleave(counts)]
            self.values = torch.cat([self.values, added]) if len(self.values) else added
        rows = torch.tensor([self.clips[clip] for clip in clip_ids], dtype=torch.int64).reshape(-1, 2)
        return rows[:, 0].contiguous(), rows[:, 1].contiguous()


@dataclass(frozen=True)
class Frames:
    """One stream of N clips, frame by frame."""

    store: FrameStore
    """May hold frames of other clips as well."""
    first: Tensor
    """(N,) int64 first frame of each clip in the store."""
    lengths: Tensor
    """(N,) int64 frames of each clip, at least 1."""
    present: Tensor
    """(N,) bool; an absent clip's frames are not read."""
    standardise: Callable[[Tensor], Tensor] | None = None
    """(frames, D) as stored -> standardised; None: they are stored so."""

    @property
    def offsets(self) -> Tensor:
        """(N + 1,) where the clips begin and end, of frames in an array of their own."""
        return torch.cat([self.first, self.first[-1:] + self.lengths[-1:]])

    @classmethod
    def of(cls, values: Tensor, offsets: Tensor, present: Tensor) -> Frames:
        """Frames (sum of T, D) in an array of their own: clip i has offsets[i] .. offsets[i + 1] - 1, offsets (N + 1,) int64."""
        return cls(FrameStore(values), offsets[:-1], offsets.diff(), present)

    def means(self) -> Tensor:
        """(N, D) mean of every clip's frames; zeros for absent clips."""
        parts = []
        for index in torch.split(torch.arange(len(self.first)), _CLIPS_AT_ONCE):
            values, mask = self.padded(index)
            parts.append(values.sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp_min(1))
        return torch.cat(parts) if parts else self.store.values.new_zeros(0, self.store.values.shape[1])

    def padded(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """The clips at `index` as (B, T, D), zeros where padded or absent, and (B, T) bool, true at valid frames.

        T is the longest of them, and at least 1.
        """
        lengths = self.lengths[index] * self.present[index]
        steps = torch.arange(max(int(lengths.max()) if len(index) else 0, 1))
        mask = steps < lengths[:, None]  # (B, T)
        read = self.store.values.index_select(0, (self.first[index][:, None] + steps)[mask])
        if self.standardise is not None:
            read = self.standardise(read)
        values = read.new_zeros(mask.numel(), read.shape[1])
        values.index_copy_(0, mask.flatten().nonzero().squeeze(1), read)
        return values.view(*mask.shape, -1), mask
