"""L_mask: predict frames the block was not shown.

Known (system A, 2): adapters are trained with a masked reconstruction loss plus cross-entropy.
Reconstruction: which frames are hidden (spans, replaced by one learned vector) and what is predicted.
The target is the frozen encoder's own hidden state `stop` at the hidden frames, each frame normalised over its
features (as in data2vec), or the cluster that state lies in (`codebook`, as in HuBERT): the adapted block is held to
the structure of speech the frozen one knew.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def span_mask(valid: Tensor, probability: float, span_frames: int, generator: torch.Generator) -> Tensor:
    """Choose spans of frames to hide.

    Args:
        valid: (batch, frames) True at valid frames.
        probability: expected share of valid frames to hide, [0, 1).
        span_frames: length of a span in frames; spans may overlap and are cut at the clip's end.
        generator: draws the spans (on the CPU, so that every device hides the same frames).

    Returns:
        (batch, frames) True at hidden frames; never a padded one, and never all frames of a clip.
    """
    batch, frames = valid.shape
    # A frame stays visible if none of the `span` places that reach it starts a span: (1 - start)^span = 1
    # - p.
    start_probability = 1.0 - (1.0 - probability) ** (1.0 / span_frames)
    starts = (torch.rand(batch, frames + span_frames - 1, generator=generator) < start_probability).float()
    hidden = functional.max_pool1d(starts[:, None], span_frames, stride=1)[:, 0] > 0  # (batch, frames)
    hidden = hidden.to(valid.device) & valid
    swallowed = (hidden == valid).all(dim=1, keepdim=True)
    return hidden & ~swallowed


class MaskedReconstruction(nn.Module):
    """The vector put in a hidden frame's place, and the linear map that predicts the frame or its cluster.

    Args:
        width: features of a frame.
        clusters: clusters to choose from; None: the frame itself is predicted.
    """

    def __init__(self, width: int, clusters: int | None = None) -> None:
        super().__init__()
        self.mask_vector = nn.Parameter(torch.zeros(width))
        self.predict = nn.Linear(width, width if clusters is None else clusters)
        self.clusters = clusters

    def hide(self, hidden: Tensor, hide: Tensor) -> Tensor:
        """Replace frames of state `start` (batch, frames, width) where `hide` (batch, frames) is True."""
        return torch.where(hide.unsqueeze(-1), self.mask_vector.to(hidden.dtype), hidden)

    def summed_loss(self, adapted: Tensor, frozen: Tensor) -> Tensor:
        """Error at the hidden frames, summed over frames: processes that share a batch add theirs up.

        Args:
            adapted: (hidden frames, width) adapted hidden state `stop`, computed with the frames hidden.
            frozen: (hidden frames, width) the frozen encoder's hidden state `stop`, computed with all frames; or
                (hidden frames,) int64 its cluster.

        Returns:
            () sum over frames of the squared error, mean over features (a frame's target has mean 0 and variance 1);
            or of the cross-entropy of the cluster.
        """
        if self.clusters is not None:
            return functional.cross_entropy(self.predict(adapted), frozen, reduction="sum")
        target = functional.layer_norm(frozen, frozen.shape[-1:])
        total: Tensor = (self.predict(adapted) - target).square().mean(dim=-1).sum()
        return total
