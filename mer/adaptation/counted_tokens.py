"""Pooling of the tokens that count: of pictures the class tokens or patches, of text its own words or the last token.

Encoders whose clips hold other tokens too (prompts, special tokens, patches beside a class token) say which count, by
a method `counted`; of speech every frame counts.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from mer.adaptation.block import BlockEncoder


class CountedPooling(nn.Module):
    """A pooling under a narrower mask."""

    def __init__(self, pooling: nn.Module, counted: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.pooling = pooling
        self._counted = counted

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """(batch, frames, width) under mask (batch, frames) -> (batch, features); what does not count is left out."""
        pooled: Tensor = self.pooling(hidden, self._counted(mask))
        return pooled


def counted_pooling(encoder: BlockEncoder, pooling: nn.Module) -> nn.Module:
    """The pooling of the tokens that count for this encoder; the pooling itself where all do."""
    counted: Callable[[Tensor], Tensor] | None = getattr(encoder, "counted", None)
    return pooling if counted is None else CountedPooling(pooling, counted)
