"""Early fusion without attention: the control of S1 (reconstruction)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mer.fusion.config import FusionConfig
from mer.fusion.model import FusionModel, FusionOutput, FusionShape
from mer.fusion.models.gathering import JoinedFrames, shared_evenly


class EarlyFusion(FusionModel):
    """All features side by side in every frame, one hidden layer per frame, plain mean over the frames."""

    reads_frames = True

    def __init__(self, shape: FusionShape, config: FusionConfig) -> None:
        super().__init__(shape)
        self.encoder = JoinedFrames(shape.widths, config.hidden, config.dropout)
        self.add_heads(config.hidden, config)

    def fuse(self, inputs: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> FusionOutput:
        """Streams (B, T, width); the present ones share the weight evenly."""
        frames, valid = self.encoder(inputs, masks)
        summed = torch.einsum("bt,btd->bd", valid, frames)
        fused = summed / valid.sum(dim=1, keepdim=True).clamp_min(1)
        return self.decode(fused, shared_evenly(masks, self.streams))
