"""Clips of unequal length as padded batches.

Sorted by length so that little is padded, with masks everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mer.errors import ConfigError

if TYPE_CHECKING:
    from mer.features.dataset import RaggedTable

SORTED_BATCHES = 8
"""Batches whose clips are drawn together and sorted by length.

Little padding, yet every epoch mixes clips anew.
"""


@dataclass(frozen=True)
class PaddedBatch:
    """Some clips' frames, padded to the longest of them."""

    rows: NDArray[np.int64]
    """(batch,) row of each clip in the table."""
    hidden: Tensor
    """(batch, frames, width) float32; zeros where padded."""
    mask: Tensor
    """(batch, frames) True at valid frames."""


@dataclass(frozen=True)
class FrameStore:
    """Frames of all clips in one array, and where each clip's begin."""

    values: NDArray[np.floating]
    """(sum of frames, width)."""
    offsets: NDArray[np.int64]
    """(clips + 1,) clip i has frames offsets[i]..offsets[i + 1] - 1."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(clips,) number of frames of each clip."""
        return np.diff(self.offsets)

    @property
    def width(self) -> int:
        """Features in a frame."""
        return int(self.values.shape[1])

    @classmethod
    def of(cls, frames: RaggedTable) -> FrameStore:
        """View of a table that holds one hidden state, (frames, width) or (frames, 1, width).

        Raises:
            ConfigError: the table holds several hidden states.
        """
        values = np.asarray(frames.values)
        if values.ndim == 3 and values.shape[1] == 1:
            values = values[:, 0]
        if values.ndim != 2:
            raise ConfigError(
                f"expected frames of one hidden state, (frames, width), found shape {values.shape}"
            )
        return cls(values=values, offsets=np.asarray(frames.offsets, dtype=np.int64))


def length_sorted_batches(
    rows: NDArray[np.int64],
    lengths: NDArray[np.int64],
    batch_size: int,
    generator: torch.Generator | None = None,
) -> list[NDArray[np.int64]]:
    """Split rows into batches of similar length.

    Args:
        rows: (n,) rows to serve, each exactly once.
        lengths: (clips,) frames of every clip of the table.
        batch_size: clips in a batch (the last one may be smaller).
        generator: draws the order of an epoch; None sorts all rows (for reading).
    """
    if generator is None:
        ordered = rows[np.argsort(lengths[rows], kind="stable")]
        return [ordered[i : i + batch_size] for i in range(0, len(ordered), batch_size)]
    shuffled = rows[torch.randperm(len(rows), generator=generator).numpy()]
    batches: list[NDArray[np.int64]] = []
    for begin in range(0, len(shuffled), batch_size * SORTED_BATCHES):
        group = shuffled[begin : begin + batch_size * SORTED_BATCHES]
        group = group[np.argsort(lengths[group], kind="stable")]
        batches += [group[i : i + batch_size] for i in range(0, len(group), batch_size)]
    return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]


def draw_windows(
    lengths: NDArray[np.int64], max_frames: int, generator: torch.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First frame and length of a random window of at most `max_frames` in each clip.

    Whole clips where they fit.
    """
    kept = np.minimum(lengths, max_frames)
    position = torch.rand(len(lengths), generator=generator, dtype=torch.float64).numpy()
    first = np.floor(position * (lengths - kept + 1)).astype(np.int64)
    return first, kept


def pad(
    store: FrameStore,
    rows: NDArray[np.int64],
    device: torch.device,
    windows: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
) -> PaddedBatch:
    """Copy the rows' frames (or the given windows of them) into one padded float32 batch."""
    first, kept = windows if windows is not None else (np.zeros_like(rows), store.lengths[rows])
    longest = int(kept.max())
    hidden = torch.zeros(len(rows), longest, store.width)
    for place, row in enumerate(rows):
        begin = int(store.offsets[row] + first[place])
        frames = np.asarray(store.values[begin : begin + int(kept[place])], dtype=np.float32)
        hidden[place, : len(frames)] = torch.from_numpy(frames)
    mask = torch.arange(longest)[None] < torch.from_numpy(kept)[:, None]
    return PaddedBatch(rows=rows, hidden=hidden.to(device), mask=mask.to(device))
