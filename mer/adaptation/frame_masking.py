"""SpecAugment (Park et al. 2019) on cached hidden states: stretches of time and runs of features are blanked.

Known: that time and frequency masks on the input make speech models generalise. Reconstruction: that they are
laid on a hidden state, that a run of neighbouring features stands for a band of frequencies (features have no
order; a run is only a cheap random subset), and that a blanked value becomes its mean over the training frames.
Separate from the spans of `masked_reconstruction`: nothing is predicted here.
"""

from __future__ import annotations

import torch
from torch import Tensor


def time_masks(lengths: Tensor, frames: int, count: int, share: float, generator: torch.Generator) -> Tensor:
    """Draw stretches of time for each clip of a batch; their lengths follow the clip's.

    Args:
        lengths: (batch,) valid frames of each clip, on the CPU.
        frames: frames of the padded batch.
        count: stretches in a clip; they may overlap.
        share: longest stretch as a share of the clip; lengths are uniform from 0 to it.
        generator: on the CPU, so that every device masks the same frames.

    Returns:
        (batch, frames) True where blanked, on the CPU; never a padded frame.
    """
    return _runs(lengths, frames, count, share, generator)


def feature_masks(batch: int, width: int, count: int, share: float, generator: torch.Generator) -> Tensor:
    """Draw runs of features for each clip, (batch, width) True where blanked, on the CPU; see `time_masks`."""
    return _runs(torch.full((batch,), width), width, count, share, generator)


def _runs(extent: Tensor, size: int, count: int, share: float, generator: torch.Generator) -> Tensor:
    drawn = torch.rand(2, len(extent), count, 1, generator=generator, dtype=torch.float64)
    whole = extent[:, None, None]  # (batch, 1, 1)
    width = torch.floor(drawn[0] * (torch.floor(share * whole) + 1))  # (batch, count, 1)
    start = torch.floor(drawn[1] * (whole - width + 1))
    position = torch.arange(size)[None, None]
    return ((position >= start) & (position < start + width)).any(dim=1)


def blank(hidden: Tensor, filler: Tensor, times: Tensor | None, features: Tensor | None) -> Tensor:
    """Put `filler` where masked.

    Args:
        hidden: (batch, frames, width).
        filler: (width,) what stands for nothing: the mean of the training frames.
        times: (batch, frames) True where all features are blanked, or None.
        features: (batch, width) True where the feature is blanked in all frames, or None.
    """
    if times is not None:
        hidden = torch.where(times.unsqueeze(-1), filler, hidden)
    if features is not None:
        hidden = torch.where(features.unsqueeze(1), filler, hidden)
    return hidden
