"""Alignment and uniformity of a joint space (Wang & Isola 2020, sections 4.1.1 and 4.1.2, known).

Contrastive training lowers both: partners come together, and embeddings spread over the sphere. A control that
learnt nothing may spread well, but its partners stay as far apart as strangers are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


def alignment_loss(seen: Vectors, heard: Vectors) -> float:
    """Mean squared distance of partners (their alpha = 2), 0 to 4; both (clips, features) of unit length."""
    return float(np.square(seen - heard, dtype=np.float64).sum(axis=1).mean())


def uniformity_loss(vectors: Vectors, t: float = 2.0) -> float:
    """Log of the mean of exp(-t d^2) over pairs of different clips; 0 where all are one point, lower is more even.

    Args:
        vectors: (clips, features) of unit length, at least two clips. t: scale of the Gaussian kernel.
    """
    squared = np.maximum(2.0 - 2.0 * (vectors @ vectors.T).astype(np.float64), 0.0)
    pairs = np.triu_indices(len(vectors), k=1)
    return float(np.log(np.exp(-t * squared[pairs]).mean()))


def geometry_figures(seen: Vectors, heard: Vectors) -> dict[str, float]:
    """Alignment and uniformity as figures for reports; `strangers_distance` is the value of `alignment` for any two clips."""
    if len(seen) < 2:
        return {}
    everyone = float(np.mean(2.0 - 2.0 * seen @ heard.T))
    partners = alignment_loss(seen, heard)
    return {
        "alignment": partners,
        "strangers_distance": (everyone * len(seen) - partners) / (len(seen) - 1),
        "uniformity_seen": uniformity_loss(seen),
        "uniformity_heard": uniformity_loss(heard),
    }
