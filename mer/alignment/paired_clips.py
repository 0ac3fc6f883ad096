"""The clips of an alignment fit: both streams' values, and which clips it learns from and chooses by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.alignment.groups import ClipGroups


@dataclass(frozen=True, kw_only=True)
class PairedClips:
    """Clips of the trained side and of the anchor; row i is clip i everywhere."""

    trained_values: NDArray[Any]
    """Vectors (clips, features), or face crops uint8 (clips, frames, size, size, 3)."""
    anchor_values: NDArray[np.float32]
    """(clips, features) vectors of the anchor; targets, no gradient reaches what made them."""
    train: NDArray[np.bool_]
    """(clips,) clips whose pairs are learned from."""
    validation: NDArray[np.bool_]
    """(clips,) clips for the choice of the epoch and the retrieval figures; none keeps the last epoch."""
    groups: ClipGroups | None = None
    """Speakers and sources of the clips, where known."""

    @property
    def known_groups(self) -> ClipGroups:
        """Speakers and sources; unknown for every clip where none were given."""
        return self.groups or ClipGroups.of_speakers([None] * len(self.trained_values))
