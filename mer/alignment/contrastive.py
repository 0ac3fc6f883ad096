"""Symmetric InfoNCE with a learned temperature.

Known (system A, 3): visual features are brought into line with the acoustic space. Reconstruction: by
contrast within the batch, as CLIP does (Radford et al. 2021): clip i's picture must find clip i's sound
among the batch's, and the reverse.
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
    seen: Tensor, heard: Tensor, temperature: Tensor, others_heard: Tensor | None = None
) -> Tensor:
    """Mean of both directions' cross-entropy of the true pair among all pairs of the batch.

    Args:
        seen: (batch, features) visual embeddings of unit length.
        heard: (batch, features) acoustic embeddings of unit length; row i belongs to row i of `seen`.
        temperature: () positive.
        others_heard: (queued, features) acoustic embeddings of further clips, which belong to no row:
            negatives of every picture. The direction from sound to picture has none of them.

    Returns:
        (); log(batch) where the embeddings say nothing and nothing is queued.
    """
    similarity = seen @ heard.T / temperature  # (batch, batch)
    target = torch.arange(len(seen), device=seen.device)
    backward = functional.cross_entropy(similarity.T, target)
    if others_heard is not None and len(others_heard):
        similarity = torch.cat([similarity, seen @ others_heard.T / temperature], dim=1)
    forward = functional.cross_entropy(similarity, target)
    return (forward + backward) / 2


def cosine_distance(seen: Tensor, heard: Tensor) -> Tensor:
    """() mean of 1 - cosine over the true pairs; both (batch, features) of unit length."""
    return 1.0 - (seen * heard).sum(dim=-1).mean()
