"""The classifier on an adapted block's pooled embedding. Reconstruction: the source names only cross-entropy."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from mer.errors import ConfigError


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
        self._rows: Tensor | None = None

    def start_from(self, rows: Tensor) -> None:
        """Begin as the classifier `rows @ embedding` (label words) instead of at zero, once standardised.

        Args:
            rows: (classes, n) for the first n features of the embedding, the means.

        Raises:
            ConfigError: not one row a class.
        """
        classes, features = self.classify.weight.shape
        if len(rows) != classes or rows.shape[1] > features:
            raise ConfigError(f"expected {classes} label words, one a class, found {len(rows)}")
        self._rows = functional.pad(rows, (0, features - rows.shape[1]))

    def standardise_to(self, embeddings: Tensor) -> None:
        """Take mean and deviation from (clips, features), those of the frozen block on the training clips.

        Clips that are not finite are left out: one of them costs its own steps, not all.
        """
        embeddings = embeddings[embeddings.isfinite().all(dim=1)]
        self.mean.copy_(embeddings.mean(dim=0))
        self.deviation.copy_(embeddings.std(dim=0, correction=0).clamp(min=1e-6))
        if self._rows is not None:
            rows = self._rows.to(self.mean)
            with torch.no_grad():  # rows @ e = (rows * deviation) @ ((e - mean) / deviation) + rows @ mean
                self.classify.weight.copy_(rows * self.deviation)
                self.classify.bias.copy_(rows @ self.mean)

    def forward(self, embedding: Tensor) -> Tensor:
        """(batch, features) -> logits (batch, classes)."""
        logits: Tensor = self.classify(self.dropout((embedding - self.mean) / self.deviation))
        return logits
