"""Clips as arrays: what is known about each, in one order that all feature tables follow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError


@dataclass(frozen=True)
class Examples:
    """Labels, speakers and folds of N clips.

    Raises:
        ConfigError: the arrays have different lengths, or a clip id occurs twice.
    """

    clip_ids: tuple[str, ...]
    emotion: NDArray[np.int64]
    """(N,) class index; -1 = unlabelled or hidden."""
    valence: NDArray[np.float32]
    """(N,) valence in [-5, 5]; NaN = missing."""
    speaker: tuple[str | None, ...]
    """Speaker per clip; None = unknown."""
    fold: NDArray[np.int64]
    """(N,) outer fold; -1 = not in the cross-validation."""
    weight: NDArray[np.float32]
    """(N,) weight in the losses: 1 for gold labels, less for pseudo-labels."""

    def __post_init__(self) -> None:
        count = len(self.clip_ids)
        lengths = {
            name: len(getattr(self, name)) for name in ("emotion", "valence", "speaker", "fold", "weight")
        }
        if wrong := {name: length for name, length in lengths.items() if length != count}:
            raise ConfigError(f"examples: expected {count} values in every column, found {wrong}")
        if len(set(self.clip_ids)) != count:
            raise ConfigError(
                f"examples: expected every clip once, found {count - len(set(self.clip_ids))} repeats"
            )

    def __len__(self) -> int:
        return len(self.clip_ids)

    def subset(self, rows: NDArray[np.int64]) -> Examples:
        """The examples at these positions, in this order."""
        return Examples(
            clip_ids=tuple(self.clip_ids[i] for i in rows),
            emotion=self.emotion[rows],
            valence=self.valence[rows],
            speaker=tuple(self.speaker[i] for i in rows),
            fold=self.fold[rows],
            weight=self.weight[rows],
        )
