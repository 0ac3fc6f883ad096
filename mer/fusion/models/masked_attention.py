"""Multi-head attention under a mask of the keys, its weights to be read, and a transformer block around it (reconstruction)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from mer.fusion.models.gathering import masked_softmax

_HEADS = 4


def normalised(values: Tensor) -> Tensor:
    """Layer norm over the last axis without parameters: a linear layer that follows has its own scale and bias."""
    return functional.layer_norm(values, values.shape[-1:])


class MaskedAttention(nn.Module):
    """softmax(Q K^T / sqrt(d)) V of several heads, mixed: (B, Tq, width) queries over (B, Tk, width) keys.

    A query vector of zeros leaves the bias of its projection, which is a learned query. Keys have no bias: it would add the
    same to all scores of a query, which softmax takes out again, and leave its gradient to rounding.

    Args:
        width: features of queries, keys and result; four heads where it divides by four, otherwise one.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = _HEADS if width % _HEADS == 0 else 1
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.mix = nn.Linear(width, width)

    def forward(self, queries: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """(B, Tq, width); zeros of values where a clip has no valid key, so that only the bias of `mix` is left.

        Args:
            queries: (B, Tq, width).
            keys: (B, Tk, width); they are the values too.
            mask: (B, Tk) 1 at valid keys.
        """
        values = self._split(self.value(keys))
        # with one key there is nothing to weigh; a fused kernel would leave rounding as the gradient of queries and keys,
        # which Adam scales up to whole steps
        if keys.shape[1] > 1:
            # finite: a clip without any valid key must not become NaN
            allowed = keys.new_zeros(mask.shape).masked_fill(mask == 0, torch.finfo(keys.dtype).min / 2)
            attended = functional.scaled_dot_product_attention(
                self._split(self.query(queries)),
                self._split(self.key(keys)),
                values,
                attn_mask=allowed[:, None, None],
            )
            # where no key is valid all weigh alike: that is no answer
            attended = attended * mask.amax(dim=1)[:, None, None, None]
        else:
            attended = self.weights(queries, keys, mask) @ values
        mixed: Tensor = self.mix(attended.transpose(1, 2).flatten(2))
        return mixed

    def weights(self, queries: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """(B, heads, Tq, Tk) attention of every query, which sums to 1 over the valid keys; zeros where there are none."""
        query_heads, key_heads = self._split(self.query(queries)), self._split(self.key(keys))
        scores = query_heads @ key_heads.transpose(2, 3) / query_heads.shape[-1] ** 0.5
        return masked_softmax(scores, mask[:, None, None].expand_as(scores))

    def _split(self, values: Tensor) -> Tensor:
        """(B, T, width) -> (B, heads, T, width / heads)."""
        return values.reshape(*values.shape[:2], self.heads, values.shape[2] // self.heads).transpose(1, 2)


class AttentionBlock(nn.Module):
    """u = norm(r + MHA(q, k, k)), out = norm(u + FFN(u)) with residual r; the norm comes last, as in Vaswani et al. 2017.

    Args:
        width: features of everything; the hidden layer of the FFN has twice as many.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = MaskedAttention(width)
        self.widen = nn.Linear(width, 2 * width)
        self.narrow = nn.Linear(2 * width, width)

    def forward(self, queries: Tensor, keys: Tensor, mask: Tensor, residual: Tensor | None) -> Tensor:
        """(B, Tq, width); `residual` None: the attended values alone."""
        attended = self.attention(queries, keys, mask)
        inner = normalised(attended if residual is None else residual + attended)
        return normalised(inner + self.narrow(torch.relu(self.widen(inner))))
