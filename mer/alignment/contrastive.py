"""Symmetric InfoNCE with a learned temperature.

Known (system A, 3): features of one modality are brought into line with the space of another, the anchor.
Reconstruction: by contrast within the batch, as CLIP does (Radford et al. 2021): clip i's trained embedding must
find clip i's anchor embedding among the batch's, and the reverse.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class LearnedTemperature(nn.Module):
    """Temperature of the softmax over cosines, learned as a logarithm and kept within bounds.

    Args:
        initial: temperature at the start.
        bounds: lowest and highest temperature.
    """

    def __init__(self, initial: float, bounds: tuple[float, float]) -> None:
        super().__init__()
        self.log_bounds = (math.log(bounds[0]), math.log(bounds[1]))
        self.log_temperature = nn.Parameter(torch.tensor(math.log(initial)))

    def forward(self) -> Tensor:
        """() current temperature."""
        return self.log_temperature.clamp(*self.log_bounds).exp()

    def clamp(self) -> None:
        """Pull the parameter back within bounds; beyond them it would get no gradient and never return."""
        with torch.no_grad():
            self.log_temperature.clamp_(*self.log_bounds)


def symmetric_info_nce(
    trained: Tensor, anchor: Tensor, temperature: Tensor, further_anchors: Tensor | None = None
) -> Tensor:
    """Mean of both directions' cross-entropy of the true pair among all pairs of the batch.

    Args:
        trained: (batch, features) embeddings of the trained side, of unit length.
        anchor: (batch, features) embeddings of the anchor, of unit length; row i belongs to row i of `trained`.
        temperature: () positive.
        further_anchors: (queued, features) anchor embeddings of further clips, which belong to no row:
            negatives of every trained embedding. The direction from anchor to trained side has none of them.

    Returns:
        (); log(batch) where the embeddings say nothing and nothing is queued.
    """
    similarity = trained @ anchor.T / temperature  # (batch, batch)
    target = torch.arange(len(trained), device=trained.device)
    backward = functional.cross_entropy(similarity.T, target)
    if further_anchors is not None and len(further_anchors):
        similarity = torch.cat([similarity, trained @ further_anchors.T / temperature], dim=1)
    forward = functional.cross_entropy(similarity, target)
    return (forward + backward) / 2


def cosine_distance(trained: Tensor, anchor: Tensor) -> Tensor:
    """() mean of 1 - cosine over the true pairs; both (batch, features) of unit length."""
    return 1.0 - (trained * anchor).sum(dim=-1).mean()
