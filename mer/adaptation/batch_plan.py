"""Random choices of one batch, drawn on the CPU before anything is computed.

Drawn for the whole batch whatever the device and however many processes share it, so that all of them hide and
mask the same frames of the same pieces, and a resumed epoch repeats the undisturbed one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mer.adaptation.config import AdaptationConfig
from mer.adaptation.frame_masking import feature_masks, time_masks
from mer.adaptation.masked_reconstruction import span_mask
from mer.adaptation.padded_batches import FrameStore, Windows, draw_windows
from mer.training.seeding import epoch_generator


class Chances:
    """One generator for each purpose, so that an option that is off changes no other's draws.

    Args:
        seed: of the fit.
        epoch: from 0.
        rank: of the process; only dropout, which every process draws for its own clips, depends on it.
    """

    def __init__(self, seed: int, epoch: int, rank: int = 0) -> None:
        self.variants = epoch_generator(seed, epoch, "variants")
        self.order = epoch_generator(seed, epoch, "order")
        self.hide = epoch_generator(seed, epoch, "hide")
        self.blank = epoch_generator(seed, epoch, "blank")
        self.mix = epoch_generator(seed, epoch, "mix")
        self.dropout = epoch_generator(seed, epoch, "dropout", *([str(rank)] if rank else []))


@dataclass(frozen=True)
class BatchPlan:
    """Rows of a batch and all that is drawn for them; tensors are on the CPU."""

    rows: NDArray[np.int64]
    """(batch,) rows of the store."""
    windows: Windows
    """First frame and length of the piece of each."""
    hide: Tensor | None
    """(batch, frames) True at frames to predict."""
    blank_times: Tensor | None
    """(batch, frames) True at blanked frames."""
    blank_features: Tensor | None
    """(batch, width) True at blanked features."""
    share: Tensor | None
    """(batch,) share of each clip in its mixture, at least a half; the rest is its partner's."""

    @property
    def clips(self) -> int:
        """Clips of the batch."""
        return len(self.rows)

    @property
    def hidden_frames(self) -> int:
        """Frames to predict."""
        return 0 if self.hide is None else int(self.hide.sum())

    def subset(self, positions: slice) -> BatchPlan:
        """The plan of some of the batch's clips, cut to the longest of them."""
        first, lengths = self.windows[0][positions], self.windows[1][positions]
        longest = int(lengths.max()) if len(lengths) else 0

        def cut(mask: Tensor | None) -> Tensor | None:
            return None if mask is None else mask[positions, :longest]

        return BatchPlan(
            rows=self.rows[positions],
            windows=(first, lengths),
            hide=cut(self.hide),
            blank_times=cut(self.blank_times),
            blank_features=None if self.blank_features is None else self.blank_features[positions],
            share=None if self.share is None else self.share[positions],
        )


def draw_plan(
    store: FrameStore, rows: NDArray[np.int64], config: AdaptationConfig, chances: Chances
) -> BatchPlan:
    """Draw pieces, hidden spans, blanked frames and features, and mixtures of a batch."""
    windows = draw_windows(store.lengths[rows], config.max_frames, chances.order)
    lengths = torch.from_numpy(windows[1])
    frames = int(lengths.max())
    hide = times = features = share = None
    if config.mask_probability > 0:
        valid = torch.arange(frames)[None] < lengths[:, None]
        hide = span_mask(valid, config.mask_probability, config.mask_span_frames, chances.hide)
    if config.time_masks > 0:
        times = time_masks(lengths, frames, config.time_masks, config.time_mask_share, chances.blank)
    if config.feature_masks > 0:
        features = feature_masks(
            len(rows), store.width, config.feature_masks, config.feature_mask_share, chances.blank
        )
    if config.mixup > 0:
        share = _mixing_shares(len(rows), config.mixup, chances.mix)
    return BatchPlan(rows, windows, hide, times, features, share)


def _mixing_shares(clips: int, shape: float, generator: torch.Generator) -> Tensor:
    """(clips,) draws from Beta(shape, shape), mirrored to at least a half: a clip is never less than its partner."""
    seed = int(torch.randint(2**62, (), generator=generator))
    drawn = np.random.default_rng(seed).beta(shape, shape, size=clips)
    return torch.from_numpy(np.maximum(drawn, 1.0 - drawn)).float()
