"""Dropout of stacked models: masks that the engine has drawn, asked for by place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Place:
    """Where a model drops values: at (B, width), or at (B, frames, width)."""

    width: int
    streams: tuple[str, ...] | None = None
    """Whose frames are there, one after the other; None: no axis of frames."""

    def shape(self, batch_size: int, frames: Mapping[str, int]) -> tuple[int, ...]:
        """Of one model's values.

        Args:
            batch_size: B.
            frames: stream -> T.
        """
        if self.streams is None:
            return (batch_size, self.width)
        return (batch_size, sum(frames[name] for name in self.streams), self.width)


class StackedDropout:
    """The dropout of one step of K models.

    Args:
        drawn: one entry a place, (K or 1, B, [T,] width) uint8, random bytes.
        threshold: (K,) uint8; values with a byte below it are dropped.
        scale: (K,) 1 / (1 - probability).
    """

    def __init__(self, drawn: tuple[Tensor, ...], threshold: Tensor, scale: Tensor) -> None:
        self.drawn, self.threshold = drawn, threshold
        self._scale = scale

    @property
    def scale(self) -> Tensor:
        """(K, 1, 1)"""
        return self._scale[:, None, None]

    @property
    def scales(self) -> Tensor:
        """(K,)"""
        return self._scale

    def __call__(self, place: int, values: Tensor) -> Tensor:
        """(K or 1, B, width) with dropped values 0; the kept ones are NOT scaled up: multiply by `scale` later.

        Scaling the product with the weights is the same and touches fewer numbers.
        """
        return values * (self.drawn[place] >= self.threshold[:, None, None])

    def of(self, part: slice) -> StackedDropout:
        """That of the models in `part`."""
        drawn = tuple(own if len(own) == 1 else own[part] for own in self.drawn)
        return StackedDropout(drawn, self.threshold[part], self._scale[part])


def dropped(values: Tensor, drawn: Tensor, threshold: Tensor, scale: Tensor) -> Tensor:
    """Values of one model, 0 where dropped and scaled up where kept.

    Two products: on a processor `torch.where` took ten times as long.

    Args:
        values: of any shape.
        drawn: bytes of the same shape.
        threshold: () of the model.
        scale: () of the model.
    """
    kept = values * (drawn >= threshold)
    return kept * scale if kept.requires_grad else kept.mul_(scale)
