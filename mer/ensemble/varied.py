"""Streams of features in several variants of each clip: as it is, and changed in ways that leave the emotion alone.

Variants multiply the clips to learn from, and predictions are averaged over the variants of a clip. Known for speech: playing it
at .9, 1 and 1.1 of its speed (Ko et al. 2015), here before a frozen encoder, so that every variant is encoded once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError

PLAIN = "plain"
"""The clip as it is."""
_SMALLEST_DEVIATION = 1e-6
"""Relative to the mean: less than this is the rounding of a constant feature, whose scale is set to 0."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class VariedStream:
    """One stream of N clips.

    Raises:
        ConfigError: no plain variant, variants of different shape, or values that are not finite.
    """

    values: Mapping[str, Floats]
    """Variant -> (N, D); a variant that the stream lacks is the plain one (a changed sound leaves the face alone)."""
    present: NDArray[np.bool_]
    """(N,) whether the clip has the stream."""

    def __post_init__(self) -> None:
        if PLAIN not in self.values:
            raise ConfigError(f"stream: expected the variant {PLAIN!r}, found {sorted(self.values)}")
        shape = self.values[PLAIN].shape
        if len(shape) != 2 or len(self.present) != shape[0]:
            raise ConfigError(
                f"stream: expected (clips, features) and as many flags, found {shape}, {len(self.present)}"
            )
        for name, variant in self.values.items():
            if variant.shape != shape or not np.isfinite(variant[self.present]).all():
                raise ConfigError(f"stream, variant {name!r}: expected finite values of shape {shape}")

    def __len__(self) -> int:
        return len(self.present)

    def standardised(
        self, train: NDArray[np.int64], target_rows: NDArray[np.int64], variants: Sequence[str]
    ) -> tuple[Floats, Floats]:
        """Training clips and target clips in these variants, one variant after the other.

        Mean and deviation are those of the training clips in all these variants; an absent stream is at the mean, a feature
        that does not vary is 0.

        Returns:
            (V * train, D) and (V * targets, D).
        """
        learnt = self._rows(train, variants)
        held = np.tile(self.present[train], len(variants))
        if not held.any():
            return np.zeros_like(learnt), np.zeros_like(self._rows(target_rows, variants))
        mean = learnt[held].mean(axis=0, dtype=np.float64)
        deviation = learnt[held].std(axis=0, dtype=np.float64)
        varies = deviation > _SMALLEST_DEVIATION * np.maximum(1.0, np.abs(mean))
        scale = np.where(varies, 1 / np.where(varies, deviation, 1.0), 0.0)

        def scaled(rows: NDArray[np.int64]) -> Floats:
            known = np.tile(self.present[rows], len(variants))[:, None]
            values = (self._rows(rows, variants) - mean) * scale
            return np.where(known, values, 0.0).astype(np.float32)

        return scaled(train), scaled(target_rows)

    def _rows(self, rows: NDArray[np.int64], variants: Sequence[str]) -> Floats:
        return np.concatenate([self.values.get(name, self.values[PLAIN])[rows] for name in variants])


def check_streams(streams: Mapping[str, VariedStream], clips: int) -> None:
    """Check that all streams have this many clips.

    Raises:
        ConfigError: none at all, or one of another length.
    """
    if not streams or any(len(stream) != clips for stream in streams.values()):
        raise ConfigError(
            f"streams: expected some of {clips} clips, found "
            f"{ {name: len(stream) for name, stream in streams.items()} }"
        )
