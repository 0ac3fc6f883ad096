"""Where the clips of one table lie: a Gaussian in the leading principal components, and how far clips lie off these.

A clip's distance is the larger of two: the Mahalanobis distance within the components (K. Lee et al., "A simple unified framework
for detecting out-of-distribution samples and adversarial attacks", NeurIPS 2018; here one Gaussian for all classes), and the
length of what the components leave of the vector. The second one finds what the first cannot: sounds and pictures of another
kind differ in directions in which no training clip varies. What was measured: `benchmarks/robustness/out_of_domain.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

COMPONENTS = 32
"""Most principal components."""
CLIPS_PER_COMPONENT = 3
"""With fewer clips there are fewer components."""
_LEAST_SCALE = 0.01
"""Of the root mean square of all features' standard deviations: a feature that hardly varies in training is no measure."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Gaussian:
    """Clips of D features in K components."""

    mean: NDArray[np.float32]
    """(D,)"""
    scale: NDArray[np.float32]
    """(D,) standard deviations, positive."""
    components: NDArray[np.float32]
    """(D, K) orthonormal, of standardised features."""
    variances: NDArray[np.float32]
    """(K,) of the components, shrunk; positive."""
    residual: float
    """Mean squared length of what the components leave of a training clip; positive."""

    def distance(self, values: NDArray[np.floating]) -> Floats:
        """(N,) distance of vectors (N, D); the root of its mean square over the training set is about 1."""
        standardised = (values.astype(np.float64) - self.mean) / self.scale
        scores = standardised @ self.components.astype(np.float64)
        within = np.square(scores) @ (1 / self.variances.astype(np.float64)) / max(1, self.variances.size)
        # not by what is left of the vector: a few clips at a time, and D may be thousands
        off = (
            np.maximum(np.square(standardised).sum(axis=1) - np.square(scores).sum(axis=1), 0) / self.residual
        )
        return np.asarray(np.sqrt(np.maximum(within, off)))


def fit_gaussian(values: NDArray[np.floating]) -> Gaussian:
    """The Gaussian of training clips (N, D), N >= 2; variances of the components are shrunk as by Ledoit and Wolf (2004)."""
    from sklearn.covariance import ledoit_wolf_shrinkage

    wide = values.astype(np.float64)
    mean, deviation = wide.mean(axis=0), wide.std(axis=0)
    scale = np.maximum(deviation, max(_LEAST_SCALE * float(np.sqrt(np.square(deviation).mean())), 1e-12))
    standardised = (wide - mean) / scale
    components = _principal(standardised, min(COMPONENTS, len(values) // CLIPS_PER_COMPONENT, wide.shape[1]))
    scores = standardised @ components
    variances = scores.var(axis=0)
    if variances.size > 1:
        share = float(ledoit_wolf_shrinkage(scores))
        variances = (1 - share) * variances + share * variances.mean()
    left = np.square(standardised).sum(axis=1) - np.square(scores).sum(axis=1)
    whole = max(float(np.square(standardised).sum(axis=1).mean()), 1e-12)
    return Gaussian(
        mean.astype(np.float32),
        scale.astype(np.float32),
        components.astype(np.float32),
        np.maximum(variances, 1e-6 * whole).astype(np.float32),
        max(float(left.mean()), 1e-6 * whole),
    )


def _principal(standardised: Floats, count: int) -> Floats:
    """(D, count) leading principal components; signs are settled, so that equal clips give equal bytes."""
    if count < 1:
        return np.zeros((standardised.shape[1], 0))
    from sklearn.utils.extmath import randomized_svd

    _, _, rows = randomized_svd(standardised, count, n_iter=4, random_state=0)
    return np.asarray(rows.T)
