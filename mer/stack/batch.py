"""Batches of a stack: clips for K models, one batch each or one that all of them read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class StackBatch:
    """Clips for K models: one batch each, or one for all (leading size 1)."""

    values: Mapping[str, Tensor]
    """Stream -> (K or 1, B, D), or (K or 1, B, T, D) for models that read frames; standardised, 0 where missing or padded."""
    present: Mapping[str, Tensor]
    """Stream -> (K or 1, B, 1) or (K or 1, B, T, 1), 1 where the clip has the stream, or the frame is valid."""
    hides: bool = False
    """Whether `values` still hold what `present` hides: see `shown`."""

    @property
    def frames(self) -> dict[str, int]:
        """Stream -> T; 1 for a vector."""
        return {name: own.shape[2] if own.dim() == 4 else 1 for name, own in self.values.items()}

    def of(self, part: slice) -> StackBatch:
        """What the models in `part` read."""
        return StackBatch(
            {name: _part(own, part) for name, own in self.values.items()},
            {name: _part(own, part) for name, own in self.present.items()},
            self.hides,
        )

    def shown(self) -> StackBatch:
        """Hidden streams' values as zeros; late, because every model then has values of its own."""
        if not self.hides:
            return self
        return StackBatch({name: own * self.present[name] for name, own in self.values.items()}, self.present)


def joined(batches: Sequence[StackBatch], of_model: Tensor | None) -> StackBatch:
    """Batches (1, B, ...) side by side; `of_model` (K,) says which of them each model reads, None: all read the first.

    Frames are padded to the longest batch.
    """
    if of_model is None:
        return batches[0]
    merged: tuple[dict[str, Tensor], dict[str, Tensor]] = ({}, {})
    for target, parts in zip(
        merged, ([b.values for b in batches], [b.present for b in batches]), strict=True
    ):
        for stream in parts[0]:
            beside = torch.cat(padded_to_longest([part[stream] for part in parts]))
            target[stream] = beside if len(of_model) == len(batches) else beside.index_select(0, of_model)
    return StackBatch(*merged)


def padded_to_longest(parts: Sequence[Tensor]) -> list[Tensor]:
    """(1, B, T, D) of several T with zeros up to the largest; (1, B, D) as they are."""
    if parts[0].dim() < 4:
        return list(parts)
    longest = max(part.shape[2] for part in parts)
    return [functional.pad(part, (0, 0, 0, longest - part.shape[2])) for part in parts]


def _part(value: Tensor, part: slice) -> Tensor:
    return value if len(value) == 1 else value[part]
