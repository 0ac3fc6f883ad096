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

Windows = tuple[NDArray[np.int64], NDArray[np.int64]]
"""First frame and number of frames of a piece of each clip, (batch,) each."""


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
    """Frames of all clips in one tensor on the device that trains, and where each clip's begin.

    A batch is one gather by index: no copy of each clip, on a GPU no transfer of frames.
    """

    values: Tensor
    """(sum of frames, width), in the type they were stored in."""
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

    @property
    def device(self) -> torch.device:
        """Where the frames are."""
        return self.values.device

    @classmethod
    def of(cls, *tables: RaggedTable, device: torch.device | str = "cpu") -> FrameStore:
        """Frames of tables that hold one hidden state, (frames, width) or (frames, 1, width), on a device.

        Several tables are put one after the other: clip i of table t is clip `t * clips + i` where all have
        equally many. On the processor, one table is not copied.

        Raises:
            ConfigError: a table holds several hidden states.
        """
        values = [_one_state(table).to(device) for table in tables]
        lengths = np.concatenate([np.diff(np.asarray(table.offsets, dtype=np.int64)) for table in tables])
        return cls(
            values=values[0] if len(values) == 1 else torch.cat(values),
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        )

    def frame_index(self, rows: NDArray[np.int64], windows: Windows | None = None) -> tuple[Tensor, Tensor]:
        """Index of the frames of a padded batch.

        Args:
            rows: (batch,) clips.
            windows: first frame and length of the piece of each clip; None: whole clips.

        Returns:
            (batch, frames) index into `values` (a clip's last frame repeated where padded), and the mask, True at
            valid frames; both on the CPU.
        """
        first, window_lengths = windows if windows is not None else (np.zeros_like(rows), self.lengths[rows])
        begin, count = (
            torch.from_numpy(self.offsets[rows] + first)[:, None],
            torch.from_numpy(window_lengths)[:, None],
        )
        steps = torch.arange(int(window_lengths.max()))[None]  # (1, frames)
        return begin + torch.minimum(steps, count - 1), steps < count


def _one_state(table: RaggedTable) -> Tensor:
    values = np.asarray(table.values)
    if values.ndim == 3 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 2:
        raise ConfigError(f"expected frames of one hidden state, (frames, width), found shape {values.shape}")
    # torch warns of arrays that it may not write to, such as mapped files
    return torch.from_numpy(values if values.flags.writeable else values.copy())


def draw_windows(lengths: NDArray[np.int64], max_frames: int, generator: torch.Generator) -> Windows:
    """First frame and length of a random window of at most `max_frames` in each clip.

    Whole clips where they fit.
    """
    window_lengths = np.minimum(lengths, max_frames)
    position = torch.rand(len(lengths), generator=generator, dtype=torch.float64).numpy()
    first = np.floor(position * (lengths - window_lengths + 1)).astype(np.int64)
    return first, window_lengths


def pad(store: FrameStore, rows: NDArray[np.int64], windows: Windows | None = None) -> PaddedBatch:
    """Gather the rows' frames (or the given windows of them) into one padded float32 batch on the store's device."""
    index, valid = store.frame_index(rows, windows)
    mask = valid.to(store.device)
    frames = store.values.index_select(0, index.reshape(-1).to(store.device)).float()
    hidden = frames.view(*index.shape, store.width).masked_fill_(~mask.unsqueeze(-1), 0.0)
    return PaddedBatch(rows=rows, hidden=hidden, mask=mask)
