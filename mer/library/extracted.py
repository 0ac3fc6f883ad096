"""Features of clips as plain arrays: what `mer.extract` gives and a stream of `mer.Fusion` takes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ClipFeatures:
    """Features of N clips of one encoder."""

    names: tuple[str, ...]
    """(N,) name of each clip, in the order they were given."""
    values: NDArray[np.float32] | list[NDArray[np.float32] | None]
    """(N, D) vectors, or (N, L, D) of L hidden states, NaN where a clip lacks the stream; with `pooling="frames"` N arrays
    (T_i, D) or (T_i, L, D), None where a clip lacks it."""
    present: NDArray[np.bool_]
    """(N,) whether the clip has the stream."""
    modality: str
    flags: tuple[tuple[str, ...], ...] = field(default=())
    """(N,) what is odd about each clip: `no_face`, `cut`, or why it has no features."""

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        if isinstance(self.values, list):
            frames = sum(len(clip) for clip in self.values if clip is not None)
            return (
                f"{self.modality} features of {int(self.present.sum())} of {len(self)} clips, {frames} frames"
            )
        return f"{self.modality} features of {int(self.present.sum())} of {len(self)} clips, shape {self.values.shape}"
