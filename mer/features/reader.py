"""Several features of one stream out of one pass: what specs that share an encoder and a preparation have in
common.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mer.encoders.batching import FittingBatches
from mer.encoders.hidden_states import state_indices
from mer.features.clip_feature import ClipFeature, masked
from mer.features.clip_media import ClipMedia
from mer.features.pooling import merged, pooled, pooled_zeros
from mer.features.spec import FeatureSpec


class Reader(Protocol):
    """Turns a clip's streams into the features of several specs."""

    specs: tuple[FeatureSpec, ...]

    def prepare(self, media: ClipMedia) -> Any:
        """Decode what this reader needs; may run in another thread than `finish`.

        Raises:
            MediaError: this clip's media cannot be used.
        """
        ...

    def finish(self, prepared: Sequence[Any]) -> list[tuple[ClipFeature, ...]]:
        """Features of several prepared clips: for each clip one per spec."""
        ...

    def absent(self, *flags: str) -> tuple[ClipFeature, ...]:
        """The masked features of a clip that lacks the stream, one per spec."""
        ...


@dataclass(frozen=True)
class Pieces:
    """A clip as an encoder gets it: windows of sound, runs of frames, or a text."""

    items: list[Any]
    """None at all: the stream is absent."""
    costs: list[float]
    """Of each item, in the unit of the reader's batches."""
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rows:
    """One item's features."""

    values: list[NDArray[np.float32]]
    """One array per spec, as `pooled` gives it."""
    count: int
    """Frames behind them."""


class EncoderReader(ABC):
    """Reads one encoder once per clip: the states any spec asks for, reduced for each.

    Args:
        specs: share modality, source, precision and preparation.
        layer_count: of the encoder.
        batches: how items go through the encoder together.
    """

    def __init__(self, specs: Sequence[FeatureSpec], layer_count: int, batches: FittingBatches) -> None:
        self.specs = tuple(specs)
        self.batches = batches
        self.states = [state_indices(spec.layers, layer_count) for spec in self.specs]

    def beside(self, specs: Sequence[FeatureSpec]) -> Reader | None:
        """A reader of specs of another preparation that runs the same encoder in memory; None: this kind has none."""
        return None

    @abstractmethod
    def prepare(self, media: ClipMedia) -> Pieces:
        """See `Reader.prepare`."""

    @abstractmethod
    def encode(self, items: list[Any]) -> list[Rows]:
        """One pass over a batch of items."""

    @abstractmethod
    def width(self, spec: FeatureSpec) -> int:
        """Features of what the spec reads, before pooling."""

    def finish(self, prepared: Sequence[Pieces]) -> list[tuple[ClipFeature, ...]]:
        """See `Reader.finish`."""
        items = [item for pieces in prepared for item in pieces.items]
        costs = [cost for pieces in prepared for cost in pieces.costs]
        rows = self.batches.run(costs, lambda batch: self.encode([items[index] for index in batch]))
        features, start = [], 0
        for pieces in prepared:
            stop = start + len(pieces.items)
            features.append(self._whole(rows[start:stop], pieces.flags))
            start = stop
        return features

    def absent(self, *flags: str) -> tuple[ClipFeature, ...]:
        """See `Reader.absent`."""
        return tuple(
            masked(pooled_zeros(spec, len(states), self.width(spec)), flags)
            for spec, states in zip(self.specs, self.states, strict=True)
        )

    def state_indices(self) -> tuple[int, ...]:
        """Hidden states that any spec asks for, ascending."""
        return tuple(sorted({index for states in self.states for index in states}))

    def rows(self, state_by_index: dict[int, Tensor], count: int) -> Rows:
        """Hidden states of one item by index, reduced for each spec."""
        return Rows(
            [
                pooled([state_by_index[index] for index in states], spec)
                for spec, states in zip(self.specs, self.states, strict=True)
            ],
            count,
        )

    def _whole(self, rows: Sequence[Rows], flags: tuple[str, ...]) -> tuple[ClipFeature, ...]:
        rows = [piece for piece in rows if piece.count > 0]
        if not rows:
            return self.absent(*flags)
        counts = [piece.count for piece in rows]
        return tuple(
            ClipFeature(
                merged([piece.values[number] for piece in rows], counts, spec), present=True, flags=flags
            )
            for number, spec in enumerate(self.specs)
        )
