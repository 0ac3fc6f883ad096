"""The classifier on an adapted block's pooled embedding. Reconstruction: the source names only cross-entropy."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class EmotionHead(nn.Module):
    """Linear classifier on the pooled embedding, standardised by the frozen block's statistics."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, features: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(features, classes)
        nn.init.zeros_(self.classify.weight)
        nn.init.zeros_(self.classify.bias)

    def standardise_to(self, embeddings: Tensor) -> None:
        """Take mean and deviation from (clips, features), those of the frozen block on the training clips.

        Clips that are not finite are left out: one of them costs its own steps, not all.
        """
        embeddings = embeddings[embeddings.isfinite().all(dim=1)]
        self.mean.copy_(embeddings.mean(dim=0))
        self.deviation.copy_(embeddings.std(dim=0, correction=0).clamp(min=1e-6))

    def forward(self, embedding: Tensor) -> Tensor:
        """(batch, features) -> logits (batch, classes)."""
        logits: Tensor = self.classify(self.dropout((embedding - self.mean) / self.deviation))
        return logits
