"""Attention over the streams: the challenge baseline, and the same with softmax weights.

Known (MERTools, model `attention`, read at source): per stream an MLP of dropout on the input and three
linear layers with ReLU; an MLP of the same kind over the concatenated hidden vectors gives one weight per
stream, without softmax; the weighted sum goes into two linear heads. Reconstruction: masks for missing
streams, and the softmax variant.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mer.fusion.config import FusionConfig
from mer.fusion.model import FusionModel, FusionOutput, FusionShape
from mer.training.seeding import SeededDropout


def stream_encoder(width: int, hidden: int, dropout: float) -> nn.Sequential:
    """The baseline's MLP: (B, width) -> (B, hidden)."""
    return nn.Sequential(
        SeededDropout(dropout),
        nn.Linear(width, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
    )


class AttentionFusion(FusionModel):
    """alpha = W MLP([h_1; ...; h_M]), z = sum_m alpha_m h_m, logits = W_e z, valence = w_v z.

    Args:
        shape: widths of the streams (M of them) and number of classes.
        config: hidden width and dropout.
        softmax: normalise alpha over the present streams; the baseline does not.
    """

    def __init__(self, shape: FusionShape, config: FusionConfig, *, softmax: bool) -> None:
        super().__init__(shape)
        self.softmax = softmax
        hidden = config.hidden
        self.encoders = nn.ModuleDict(
            {name: stream_encoder(width, hidden, config.dropout) for name, width in shape.widths.items()}
        )
        self.attention = stream_encoder(hidden * len(shape.widths), hidden, config.dropout)
        self.weigh = nn.Linear(hidden, len(shape.widths))
        self.add_heads(hidden, config)

    def fuse(self, inputs: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> FusionOutput:
        """As in the class docstring; a missing stream's hidden vector and weight are 0."""
        hidden = [self.encoders[name](inputs[name]) * masks[name] for name in self.streams]  # M x (B, hidden)
        present = torch.cat([masks[name] for name in self.streams], dim=1)  # (B, M)
        weights = self.weigh(self.attention(torch.cat(hidden, dim=1)))  # (B, M)
        if self.softmax:
            # a finite floor: a clip without any stream must not become NaN
            weights = torch.softmax(weights.masked_fill(present == 0, -1e9), dim=1)
        weights = weights * present
        fused = (torch.stack(hidden, dim=1) * weights[:, :, None]).sum(dim=1)  # (B, hidden)
        return self.decode(fused, weights)


def baseline(shape: FusionShape, config: FusionConfig) -> FusionModel:
    """The challenge's model: raw weights."""
    return AttentionFusion(shape, config, softmax=False)


def normalised(shape: FusionShape, config: FusionConfig) -> FusionModel:
    """The same with weights that sum to 1 over the present streams."""
    return AttentionFusion(shape, config, softmax=True)
