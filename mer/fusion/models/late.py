"""Late fusion: one classifier per stream, their logits and valences averaged (reconstruction; a control)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mer.fusion.config import FusionConfig
from mer.fusion.model import FusionModel, FusionOutput, FusionShape
from mer.fusion.models.gathering import frame_encoder, shared_evenly


class LateFusion(FusionModel):
    """A hidden layer and two heads for every stream; the present streams' answers count alike.

    Joint decoding reads the posterior of the averaged logits.
    """

    def __init__(self, shape: FusionShape, config: FusionConfig) -> None:
        super().__init__(shape)
        joint = config.valence_decoding == "joint"
        self.encoders = nn.ModuleDict(
            {
                name: frame_encoder(width, config.hidden, config.dropout)
                for name, width in shape.widths.items()
            }
        )
        self.emotion = nn.ModuleDict({name: nn.Linear(config.hidden, shape.classes) for name in shape.widths})
        self.valence = nn.ModuleDict(
            {name: nn.Linear(config.hidden, 1, bias=not joint) for name in shape.widths}
        )
        self.add_decoding(config)

    def fuse(self, inputs: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> FusionOutput:
        """Streams (B, width)."""
        hidden = {name: self.encoders[name](inputs[name]) for name in self.streams}
        weights = shared_evenly(masks, self.streams)
        emotions, valences = self._heads()
        logits = torch.stack([emotions[name](hidden[name]) for name in self.streams], dim=2)  # (B, C, M)
        valence = torch.cat([valences[name](hidden[name]) for name in self.streams], dim=1)  # (B, M)
        mean = torch.einsum("bcm,bm->bc", logits, weights)
        return FusionOutput(mean, self.decoded_valence((valence * weights).sum(dim=1), mean), weights)

    def _heads(self) -> tuple[nn.ModuleDict, nn.ModuleDict]:
        assert isinstance(self.emotion, nn.ModuleDict) and isinstance(self.valence, nn.ModuleDict)
        return self.emotion, self.valence
