"""Alignment and uniformity of a joint space (Wang & Isola 2020, sections 4.1.1 and 4.1.2, known).

Contrastive training lowers both: partners come together, and embeddings spread over the sphere. A control that
learnt nothing may spread well, but its partners stay as far apart as strangers are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


def alignment_loss(trained: Vectors, anchor: Vectors) -> float:
    """Mean squared distance of partners (their alpha = 2), 0 to 4; both (clips, features) of unit length."""
    return float(np.square(trained - anchor, dtype=np.float64).sum(axis=1).mean())


def uniformity_loss(vectors: Vectors, t: float = 2.0) -> float:
    """Log of the mean of exp(-t d^2) over pairs of different clips; 0 where all are one point, lower is more even.

    Args:
        vectors: (clips, features) of unit length, at least two clips. t: scale of the Gaussian kernel.
    """
    squared = np.maximum(2.0 - 2.0 * (vectors @ vectors.T).astype(np.float64), 0.0)
    pairs = np.triu_indices(len(vectors), k=1)
    return float(np.log(np.exp(-t * squared[pairs]).mean()))


def geometry_figures(trained: Vectors, anchor: Vectors) -> dict[str, float]:
    """Alignment and uniformity as figures for reports; `strangers_distance` is the value of `alignment` for any two clips."""
    if len(trained) < 2:
        return {}
    everyone = float(np.mean(2.0 - 2.0 * trained @ anchor.T))
    partners = alignment_loss(trained, anchor)
    return {
        "alignment": partners,
        "strangers_distance": (everyone * len(trained) - partners) / (len(trained) - 1),
        "uniformity_trained": uniformity_loss(trained),
        "uniformity_anchor": uniformity_loss(anchor),
    }
