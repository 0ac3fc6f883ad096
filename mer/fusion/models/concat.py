"""Plain concatenation: the control that any attention has to beat (reconstruction)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mer.fusion.config import FusionConfig
from mer.fusion.model import FusionModel, FusionOutput, FusionShape
from mer.training.seeding import SeededDropout


class ConcatFusion(FusionModel):
    """One hidden layer over all streams beside each other; the present ones share the weight evenly."""

    def __init__(self, shape: FusionShape, config: FusionConfig) -> None:
        super().__init__(shape)
        self.body = nn.Sequential(
            SeededDropout(config.dropout),
            nn.Linear(sum(shape.widths.values()), config.hidden),
            nn.ReLU(),
            SeededDropout(config.dropout),
        )
        self.add_heads(config.hidden, config)

    def fuse(self, inputs: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> FusionOutput:
        """Missing streams are zeros, which is their mean after standardisation."""
        fused = self.body(torch.cat([inputs[name] for name in self.streams], dim=1))
        present = torch.cat([masks[name] for name in self.streams], dim=1)
        weights = present / present.sum(dim=1, keepdim=True).clamp_min(1)
        return self.decode(fused, weights)
