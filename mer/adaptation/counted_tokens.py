"""Pooling of the tokens that count: of pictures the class tokens or patches, of text its own words or the last token.

Encoders whose clips hold other tokens too (prompts, special tokens, patches beside a class token) say which count, by
a method `counted`; of speech every frame counts.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from mer.adaptation.adapters import BlockEncoder

Pooling = Callable[[Tensor, Tensor], Tensor]
"""(batch, frames, width) under mask (batch, frames) -> (batch, features)."""


class CountedPooling(nn.Module):
    """A pooling under a narrower mask."""

    def __init__(self, pooling: Pooling, counted: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.pooling = pooling
        self._counted = counted

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """See `Pooling`; tokens that do not count are left out."""
        return self.pooling(hidden, self._counted(mask))


def counted_pooling(encoder: BlockEncoder, pooling: Pooling) -> Pooling:
    """The pooling of the tokens that count for this encoder; the pooling itself where all do."""
    counted: Callable[[Tensor], Tensor] | None = getattr(encoder, "counted", None)
    return pooling if counted is None else CountedPooling(pooling, counted)
