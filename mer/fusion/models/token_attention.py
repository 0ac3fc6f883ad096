"""Attention over tokens: the frames of all streams are one sequence, whatever their rates (reconstruction)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from mer.fusion.config import FusionConfig
from mer.fusion.model import FusionModel, FusionOutput, FusionShape
from mer.fusion.models.gathering import Gathering, frame_encoder, masked_softmax

_HEADS = 4


class TokenAttentionFusion(FusionModel):
    """One block of multi-head self-attention over all streams' frames (residual), then AFG over the tokens.

    Nothing tells a token's position: the order of frames does not matter. Memory grows with the square of the number of frames.
    """

    reads_frames = True

    def __init__(self, shape: FusionShape, config: FusionConfig) -> None:
        super().__init__(shape)
        hidden = config.hidden
        self.heads = _HEADS if hidden % _HEADS == 0 else 1
        self.encoders = nn.ModuleDict(
            {name: frame_encoder(width, hidden, config.dropout) for name, width in shape.widths.items()}
        )
        self.project = nn.Linear(hidden, 3 * hidden)
        self.mix = nn.Linear(hidden, hidden)
        self.gathering = Gathering(hidden)
        self.add_heads(hidden, config)

    def fuse(self, inputs: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> FusionOutput:
        """Streams (B, T, width); a stream's weight is the sum of its tokens' alphas."""
        encoded = [self.encoders[name](inputs[name]) for name in self.streams]
        tokens = torch.cat(encoded, dim=1)  # (B, sum of T, hidden)
        mask = torch.cat([masks[name][..., 0] for name in self.streams], dim=1)
        fused, alpha = self.gathering(tokens + self._attend(tokens, mask), mask)
        shares = torch.split(alpha, [stream_tokens.shape[1] for stream_tokens in encoded], dim=1)
        return self.decode(fused, torch.stack([share.sum(dim=1) for share in shares], dim=1))

    def _attend(self, tokens: Tensor, mask: Tensor) -> Tensor:
        batch, count, hidden = tokens.shape
        # a bias of the keys adds the same to all scores of a query, which softmax takes out again: its gradient would be nothing
        # but rounding, which Adam scales up to whole steps
        queried, _, valued = torch.split(self.project.bias, hidden)
        bias = torch.cat([queried, torch.zeros_like(queried), valued])
        projected = functional.linear(tokens, self.project.weight, bias)
        split = projected.view(batch, count, 3, self.heads, hidden // self.heads)
        queries, keys, values = split.permute(2, 0, 3, 1, 4)  # each (B, heads, tokens, features)
        scores = queries @ keys.transpose(2, 3) / (hidden // self.heads) ** 0.5
        weights = masked_softmax(scores, mask[:, None, None].expand_as(scores))
        mixed: Tensor = self.mix((weights @ values).transpose(1, 2).reshape(batch, count, hidden))
        return mixed
