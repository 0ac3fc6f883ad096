"""Attention with several learned queries over the streams (system A, 4).

Known: adapted speech, aligned face and text are fused by attention. Reconstruction: several queries, their keys, and
masks. One query can only say how much each stream counts in everything; several may read the face for one thing and the
words for another.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mer.fusion.config import FusionConfig
from mer.fusion.model import FusionModel, FusionOutput, FusionShape
from mer.fusion.models.attention import stream_encoder
from mer.fusion.models.gathering import masked_softmax


class MultiQueryFusion(FusionModel):
    """k_m = tanh(W_k h_m), alpha_qm = softmax_m(q . k_m / sqrt(hidden)), z_q = sum_m alpha_qm h_m, z = ReLU(W_z [z_1; ...; z_Q]).

    h_m is the challenge baseline's encoding of stream m. Softmax runs over the present streams alone, so weights of the
    others do not sink into streams that are not there. The queries are the rows of a linear map without bias: a bias would
    add the same to all streams' scores, which softmax takes out again.

    Args:
        shape: widths of the streams (M of them) and number of classes.
        config: hidden width, dropout and number of queries Q.
    """

    def __init__(self, shape: FusionShape, config: FusionConfig) -> None:
        super().__init__(shape)
        hidden = config.hidden
        self.encoders = nn.ModuleDict(
            {name: stream_encoder(width, hidden, config.dropout) for name, width in shape.widths.items()}
        )
        self.key = nn.Linear(hidden, hidden)
        self.query = nn.Linear(hidden, config.queries, bias=False)
        self.mix = nn.Linear(config.queries * hidden, hidden)
        self.add_heads(hidden, config)

    def fuse(self, inputs: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> FusionOutput:
        """As in the class docstring; a stream's weight is its mean over the queries."""
        encoded = [self.encoders[name](inputs[name]) * masks[name] for name in self.streams]
        hidden = torch.stack(encoded, dim=1)  # (B, M, hidden)
        present = torch.cat([masks[name] for name in self.streams], dim=1)[:, None]  # (B, 1, M)
        scores = self.query(torch.tanh(self.key(hidden))).transpose(1, 2)  # (B, Q, M)
        weights = masked_softmax(scores / hidden.shape[2] ** 0.5, present.expand_as(scores))
        fused = torch.relu(self.mix((weights @ hidden).flatten(1)))  # (B, hidden)
        return self.decode(fused, weights.mean(dim=1))
