"""The Audio-Guided Transformer (AGT): every modality by itself, then seen by the audio, then weighed clip by clip.

Known: an Audio-Guided Transformer, HuBERT-large as the guide, fuses inter- and intra-channel information; a summary names a
context-based transformer and an adaptive fusion (Shi & Gao 2024, arXiv 2409.05007). Reconstruction: all formulas below, the
masks, what becomes of missing modalities, and that another modality than audio may guide (option `guide`). Within a
modality `H_m = Transformer(F_m)`; across, guided by the audio, `G_m = H_a + MHA(Q=H_a, K=H_m, V=H_m)`, then FFN and norm;
`g = softmax(MLP[pool H_a; pool G_v; pool G_t])` over the modalities that are there,
`z = g_a pool H_a + g_v pool G_v + g_t pool G_t`. A vector per clip is a stream of one frame. Nothing tells a token's
position: the features of encoders carry theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mer.fusion.config import FusionConfig
from mer.fusion.model import FusionModel, FusionOutput, FusionShape
from mer.fusion.models.gathering import frame_encoder, masked_softmax
from mer.fusion.models.masked_attention import AttentionBlock


class _Tokens(NamedTuple):
    values: Tensor
    """(B, T, hidden)"""
    mask: Tensor
    """(B, T) 1 at valid tokens."""

    @property
    def present(self) -> Tensor:
        """(B,) 1 where any token is valid."""
        return self.mask.amax(dim=1)

    def pooled(self) -> Tensor:
        """(B, hidden) mean of the valid tokens; zeros where there are none."""
        return torch.einsum("bt,btd->bd", self.mask, self.values) / self.mask.sum(
            dim=1, keepdim=True
        ).clamp_min(1)


class AdaptiveGate(nn.Module):
    """softmax(W_2 relu(W_1 [x_1; ...; x_M] + b_1) + b_2) over the modalities that are present.

    The layers are held modality by modality, as W [x_1; ...] = sum_m W_m x_m: a missing modality leaves the sum and the softmax.

    Args:
        modalities: their names.
        width: features of a pooled modality, and of the hidden layer.
    """

    def __init__(self, modalities: tuple[str, ...], width: int) -> None:
        super().__init__()
        self.modalities = modalities
        self.bias = nn.Parameter(torch.zeros(width))
        self.read = nn.ModuleDict({name: nn.Linear(width, width, bias=False) for name in modalities})
        self.score = nn.ModuleDict({name: nn.Linear(width, 1) for name in modalities})

    def forward(self, pooled: Mapping[str, Tensor], present: Tensor) -> Tensor:
        """(B, M) weights.

        Args:
            pooled: modality -> (B, width).
            present: (B, M) 1 where a modality is there.
        """
        inner: Tensor = self.bias
        for row, name in enumerate(self.modalities):
            inner = inner + self.read[name](pooled[name]) * present[:, row, None]
        inner = torch.relu(inner)
        scores = torch.cat([self.score[name](inner) for name in self.modalities], dim=1)
        return masked_softmax(scores, present)


class AudioGuidedTransformer(FusionModel):
    """AGT, as in the module's docstring; a modality's weight is shared evenly by its streams that are there.

    Missing modalities. One that is not the guide: its gate weight is 0, the others share it. The guide: its tokens and the
    residual are zeros and the query is the bias of its projection, so that each other modality is gathered by a learned query,
    once a clip; the gate leaves H_a out. So it is where no stream of the guide was ever given.
    Without any modality the heads read zeros.
    """

    reads_frames = True

    def __init__(self, shape: FusionShape, config: FusionConfig) -> None:
        super().__init__(shape)
        hidden, self.options = config.hidden, config.audio_guided
        names = tuple(shape.modalities)
        self.encoders = nn.ModuleDict(
            {name: frame_encoder(width, hidden, config.dropout) for name, width in shape.widths.items()}
        )
        layers = self.options.layers if self.options.intra_channel else 0
        self.within = nn.ModuleDict(
            {name: nn.ModuleList(AttentionBlock(hidden) for _ in range(layers)) for name in names}
        )
        guided = [name for name in names if name != self.options.guide] if self.options.inter_channel else []
        self.across = nn.ModuleDict({name: AttentionBlock(hidden) for name in guided})
        self.gate = AdaptiveGate(names, hidden) if self.options.adaptive_gate else None
        self.add_heads(hidden, config)

    def fuse(self, inputs: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> FusionOutput:
        """Streams (B, T, width)."""
        modalities = self._encoded(inputs, masks)
        channels = {name: self._within(name, tokens) for name, tokens in modalities.items()}
        present = torch.stack([tokens.present for tokens in channels.values()], dim=1)  # (B, modalities)
        guide = self._guide(channels)
        pooled = {name: self._seen(name, tokens, guide).pooled() for name, tokens in channels.items()}
        if self.gate is None:
            gates = present / present.sum(dim=1, keepdim=True).clamp_min(1)
        else:
            gates = self.gate(pooled, present)
        fused = torch.einsum("bm,bmd->bd", gates, torch.stack(list(pooled.values()), dim=1))
        return self.decode(fused, self._stream_weights(gates, masks))

    def _encoded(self, inputs: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> dict[str, _Tokens]:
        """Modality -> the tokens of all its streams."""
        return {
            name: _Tokens(
                torch.cat([self.encoders[stream](inputs[stream]) for stream in streams], dim=1),
                torch.cat([masks[stream][..., 0] for stream in streams], dim=1),
            )
            for name, streams in self.shape.modalities.items()
        }

    def _within(self, name: str, tokens: _Tokens) -> _Tokens:
        """H_m."""
        values = tokens.values
        for block in self._blocks(name):
            values = block(values, values, tokens.mask, values)
        return tokens._replace(values=values)

    def _guide(self, channels: Mapping[str, _Tokens]) -> _Tokens:
        """H_a; of a clip without the guide one token of zeros, whose projection is the learned query."""
        tokens = channels.get(self.options.guide)
        if tokens is None:
            some = next(iter(channels.values()))
            empty = some.values.new_zeros(len(some.values), 1, some.values.shape[2])
            return _Tokens(empty, some.mask.new_ones(len(some.values), 1))
        first = torch.cat([torch.ones_like(tokens.mask[:, :1]), torch.zeros_like(tokens.mask[:, 1:])], dim=1)
        mask = tokens.mask + first * (1 - tokens.present)[:, None]
        return _Tokens(tokens.values * tokens.mask[..., None], mask)

    def _query(self, guide: _Tokens) -> Tensor:
        """Source of the queries: H_a, or with the guidance switched off the learned query in each of its positions."""
        return guide.values if self.options.guidance else torch.zeros_like(guide.values)

    def _seen(self, name: str, tokens: _Tokens, guide: _Tokens) -> _Tokens:
        """G_m; of the guide itself, and without the inter-channel part, H_m."""
        if name not in self.across:
            return tokens
        residual = guide.values if self.options.residual else None
        values = self._across(name)(self._query(guide), tokens.values, tokens.mask, residual)
        return guide._replace(values=values)

    def _stream_weights(self, gates: Tensor, masks: Mapping[str, Tensor]) -> Tensor:
        """(B, streams)"""
        shares: dict[str, Tensor] = {}
        for row, streams in enumerate(self.shape.modalities.values()):
            present = torch.stack([masks[stream][..., 0].amax(dim=1) for stream in streams], dim=1)
            weights = gates[:, row, None] * present / present.sum(dim=1, keepdim=True).clamp_min(1)
            shares |= {stream: weights[:, column] for column, stream in enumerate(streams)}
        return torch.stack([shares[stream] for stream in self.streams], dim=1)

    def _blocks(self, name: str) -> list[AttentionBlock]:
        layers = self.within[name]
        assert isinstance(layers, nn.ModuleList)
        return [block for block in layers if isinstance(block, AttentionBlock)]

    def _across(self, name: str) -> AttentionBlock:
        block = self.across[name]
        assert isinstance(block, AttentionBlock)
        return block
