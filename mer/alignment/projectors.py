"""The two ways into the joint space.

Reconstruction. The anchor is the target: its embedding is fixed (no gradient reaches the encoder that made
it) and enters the joint space by a linear map alone. That map is needed, not a convenience: of an anchor of
speech the leading directions are speaker and channel, which no face shows, and the linear map may turn away
from them; being linear, it cannot invent structure the anchor's space does not have. `whiten` leaves even that
out, and `raw` the principal components too: the joint space is then the anchor's own. The trained side is free:
a trainable encoder of face crops where there is one, then a small MLP.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

AnchorMap = Literal["linear", "whiten", "raw"]


class AnchorProjector(nn.Module):
    """Fixed embedding of the anchor -> unit vector of the joint space.

    Args:
        features: width of the anchor's embedding. components: principal components kept; already limited
        by `features` and by the clips they are fitted on. embedding_size: width of the joint space. kind:
        `linear` trains a map of the components; `whiten` uses the components (embedding_size of them) as
        they are; `raw` the standardised embedding itself (embedding_size is its width).
    """

    mean: Tensor
    basis: Tensor

    def __init__(self, features: int, components: int, embedding_size: int, kind: AnchorMap) -> None:
        super().__init__()
        self.raw = kind == "raw"
        self.register_buffer("mean", torch.zeros(features))
        # of `raw` the diagonal alone
        self.register_buffer("basis", torch.ones(features) if self.raw else torch.zeros(features, components))
        self.map: nn.Module = (
            nn.Linear(components, embedding_size, bias=False) if kind == "linear" else nn.Identity()
        )

    def fit(self, anchor: Tensor) -> None:
        """Standardise (clips, features), find the principal components and scale each to variance 1."""
        mean, deviation = anchor.mean(dim=0), anchor.std(dim=0, correction=0).clamp(min=1e-6)
        self.mean.copy_(mean)
        if self.raw:
            self.basis.copy_(1 / deviation)
            return
        standard = (anchor - mean) / deviation
        _, singular, directions = torch.linalg.svd(standard.double(), full_matrices=False)
        components = self.basis.shape[1]
        # The sign of a direction is arbitrary: fix it, so that the same clips give the same space everywhere.
        largest = directions[:components].abs().argmax(dim=1, keepdim=True)
        directions = directions[:components] * directions[:components].gather(1, largest).sign()
        scale = len(anchor) ** 0.5 / singular[:components].clamp(min=1e-3)
        self.basis.copy_((directions * scale[:, None]).T.float() / deviation[:, None])

    def forward(self, anchor: Tensor) -> Tensor:
        """(batch, features) -> (batch, embedding_size) of unit length."""
        centred = anchor - self.mean
        return functional.normalize(
            centred * self.basis if self.raw else self.map(centred @ self.basis), dim=-1
        )


class TrainedProjector(nn.Module):
    """Vector of the trained side -> unit vector of the joint space, by one hidden layer and a linear way past it."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, features: int, hidden_size: int, embedding_size: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(features, hidden_size)
        self.out = nn.Linear(hidden_size, embedding_size)
        self.past = nn.Linear(features, embedding_size, bias=False)

    def fit(self, vectors: Tensor) -> None:
        """Take mean and deviation of (clips, features)."""
        self.mean.copy_(vectors.mean(dim=0))
        self.deviation.copy_(vectors.std(dim=0, correction=0).clamp(min=1e-6))

    def forward(self, vectors: Tensor) -> Tensor:
        """(batch, features) -> (batch, embedding_size) of unit length."""
        standard = self.dropout((vectors - self.mean) / self.deviation)
        hidden = self.dropout(functional.gelu(self.hidden(standard)))
        return functional.normalize(self.out(hidden) + self.past(standard), dim=-1)
