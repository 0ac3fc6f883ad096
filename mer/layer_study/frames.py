"""Frames of hidden states, held so that the layers of a large encoder fit: standardised, float16, longest clips in windows.

25 layers of 1,024 features for 3,373 clips of 4 s are 69 GB in float32. A layer at a time, in float16 and with at most
`most_frames` frames a clip, 1.4 GB are held.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mer.errors import ConfigError

_SMALLEST_DEVIATION = 1e-6
_FRAMES_AT_ONCE = 2**16
_CLIPS_AT_ONCE = 64


@dataclass(frozen=True)
class LayerFrames:
    """Frames of L hidden states of N clips, clip after clip."""

    values: Tensor
    """(L, F, D) float16, each feature of mean 0 and deviation 1 over the frames of its layer."""
    offsets: Tensor
    """(N + 1,) clip i has frames offsets[i] .. offsets[i + 1] - 1, at least one."""

    @property
    def clips(self) -> int:
        """N."""
        return len(self.offsets) - 1

    def padded(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Frames of these clips: float32 (L, B, T, D), zeros where there is none, and the mask (B, T) of those there are."""
        starts, lengths = self.offsets[rows], self.offsets[rows + 1] - self.offsets[rows]
        steps = torch.arange(int(lengths.max()))
        mask = steps < lengths[:, None]  # (B, T)
        index = torch.where(mask, starts[:, None] + steps, starts[:, None])
        frames = self.values[:, index.flatten()].float().reshape(len(self.values), *index.shape, -1)
        return frames * mask[..., None], mask

    def in_order(self) -> Iterator[Tensor]:
        """Rows of all clips in parts of similar length, so that little is padded."""
        yield from torch.split(torch.argsort(self.offsets.diff(), stable=True), _CLIPS_AT_ONCE)

    def means(self) -> Tensor:
        """(L, N, D) mean over the frames of each clip."""
        means = torch.empty(len(self.values), self.clips, self.values.shape[2])
        for rows in self.in_order():
            frames, mask = self.padded(rows)
            means[:, rows] = frames.sum(dim=2) / mask.sum(dim=1)[:, None]
        return means


def layer_frames(values: Sequence[NDArray[Any]], offsets: NDArray[np.int64], most_frames: int) -> LayerFrames:
    """Hold the frames of some hidden states.

    Args:
        values: (F, D) for each, any float type.
        offsets: (N + 1,) where each clip begins, as in `RaggedTable`.
        most_frames: longer clips become means of neighbouring frames, in windows of one length, at most this many.

    Raises:
        ConfigError: values that are not finite, or a clip without frames.
    """
    if (np.diff(offsets) < 1).any():
        raise ConfigError("layer frames: expected at least one frame a clip, found a clip without any")
    starts, window_offsets = _windows(offsets, most_frames)
    held = torch.empty(len(values), len(starts), values[0].shape[1], dtype=torch.float16)
    for layer, layer_values in enumerate(values):
        _standardise(_averaged(layer_values, starts), held[layer])
    return LayerFrames(held, torch.from_numpy(window_offsets))


def _windows(offsets: NDArray[np.int64], most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First frame of every window, and where each clip's windows begin."""
    steps = -(-np.diff(offsets) // most)
    starts = [
        np.arange(begin, end, step) for begin, end, step in zip(offsets[:-1], offsets[1:], steps, strict=True)
    ]
    return np.concatenate(starts), np.cumsum([0, *(len(firsts) for firsts in starts)], dtype=np.int64)


def _averaged(values: NDArray[Any], starts: NDArray[np.int64]) -> NDArray[Any]:
    if len(starts) == len(values):
        return values
    lengths = np.diff(np.append(starts, len(values)))
    means: NDArray[Any] = np.add.reduceat(values, starts, axis=0, dtype=np.float32) / lengths[:, None]
    return means


def _standardise(values: NDArray[Any], out: Tensor) -> None:
    """Write standardised frames, a part at a time: a second copy of a layer is never made."""
    chunks = [slice(start, start + _FRAMES_AT_ONCE) for start in range(0, len(values), _FRAMES_AT_ONCE)]
    mean = np.mean(values, axis=0, dtype=np.float64).astype(np.float32)
    squares = sum(
        np.square(values[chunk] - mean, dtype=np.float32).sum(axis=0, dtype=np.float64) for chunk in chunks
    )
    deviation = np.sqrt(np.asarray(squares) / len(values)).astype(np.float32)
    if not (np.isfinite(mean).all() and np.isfinite(deviation).all()):
        raise ConfigError("layer frames: expected finite features, found NaN or infinity")
    for chunk in chunks:
        out[chunk] = torch.from_numpy((values[chunk] - mean) / np.maximum(deviation, _SMALLEST_DEVIATION))
