"""Clips with frames whose emotion lies in known layers, and in a part of the frames only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.features.dataset import FeatureTable, RaggedTable

CLASSES, WIDTH = 4, 16


@dataclass(frozen=True)
class PlantedFrames:
    """Frames of every layer, clip after clip."""

    layers: list[NDArray[np.float32]]
    """(F, 16) each."""
    offsets: NDArray[np.int64]
    labels: NDArray[np.int64]
    speakers: list[str | None]

    @property
    def clip_ids(self) -> tuple[str, ...]:
        """`c0`, `c1`, ..."""
        return tuple(f"c{i}" for i in range(len(self.labels)))

    def frames(self, layer: int) -> RaggedTable:
        """One layer's frames as the feature store gives them, with an axis of one state."""
        present = np.ones(len(self.labels), dtype=bool)
        return RaggedTable(self.clip_ids, self.layers[layer][:, None], self.offsets, present)

    def means(self) -> NDArray[np.float32]:
        """(N, L, 16)."""
        return self._over_clips(lambda own: own.mean(axis=0))

    def statistics(self) -> NDArray[np.float32]:
        """(N, L, 64) mean, deviation, minimum, maximum, written out."""
        return self._over_clips(
            lambda own: np.concatenate([own.mean(axis=0), own.std(axis=0), own.min(axis=0), own.max(axis=0)])
        )

    def statistics_table(self) -> FeatureTable:
        """The same as the feature store gives it."""
        return FeatureTable(self.clip_ids, self.statistics(), np.ones(len(self.labels), dtype=bool))

    def _over_clips(self, pooled) -> NDArray[np.float32]:  # type: ignore[no-untyped-def]
        clips = [slice(*ends) for ends in zip(self.offsets[:-1], self.offsets[1:], strict=True)]
        return np.stack(
            [np.stack([pooled(layer[clip]) for clip in clips]) for layer in self.layers], axis=1
        ).astype(np.float32)


def planted(strength: tuple[float, ...], seed: int = 0, mark: float = 2.0) -> PlantedFrames:
    """12 speakers, 240 clips; `mark`: what telling frames have in common, whatever the class: attention can find them by it."""
    rng = np.random.default_rng(seed)
    speakers, each = 12, 20
    labels = np.tile(np.arange(CLASSES), speakers * each // CLASSES)
    who = np.repeat(np.arange(speakers), each)
    lengths = rng.integers(4, 20, len(labels))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    clip = np.repeat(np.arange(len(labels)), lengths)
    telling = rng.random(len(clip)) < 0.3
    telling[offsets[:-1]] = True
    centres, marked = rng.normal(size=(CLASSES, WIDTH)), rng.normal(size=WIDTH)
    layers = []
    for amount in strength:
        shifts = rng.normal(size=(speakers, WIDTH))
        values = shifts[who[clip]] + 2 * rng.normal(size=(len(clip), WIDTH))
        values += telling[:, None] * (2.5 * amount * centres[labels[clip]] + mark * marked)
        layers.append(values.astype(np.float32))
    return PlantedFrames(layers, offsets, labels, [f"s{i}" for i in who])
