"""Which clips a fit learns from, and which it chooses its epoch by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class FitMasks:
    """Masks over the clips of a fit, both of shape (clips,)."""

    train: NDArray[np.bool_]
    """Clips to learn from."""
    validation: NDArray[np.bool_]
    """Clips of other speakers to choose the epoch by; none at all keeps the last epoch."""

    @classmethod
    def all_training(cls, train: NDArray[np.bool_]) -> FitMasks:
        """These clips to learn from, and none to choose by."""
        return cls(train, np.zeros_like(train))
