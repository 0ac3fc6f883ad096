"""Means over clips of anything known per clip (a hit, a right answer, a difference), with speakers resampled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError
from mer.evaluation.intervals import Resampled, resample_weights, resampling_groups


def resampled_mean(
    values: NDArray[np.float64], speakers: Sequence[str | None], *, resamples: int = 2000, seed: int = 0
) -> Resampled:
    """The mean of (clips,) values in [0, 1], or of their differences in [-1, 1], and of every resample of whole speakers.

    Differences of two systems on the same clips are paired by taking them clip by clip before.

    Raises:
        ConfigError: no clips, or not one speaker (or None) for each.
    """
    if len(values) == 0 or len(values) != len(speakers):
        raise ConfigError(
            f"means: expected a speaker for each clip, found {len(values)} clips, {len(speakers)} speakers"
        )
    groups = resampling_groups(speakers, len(values))
    sums, counts = np.bincount(groups, weights=values), np.bincount(groups).astype(np.float64)
    weights = resample_weights(len(counts), resamples, seed)
    samples = (weights @ sums) / (weights @ counts)
    point = float(values.mean())
    return Resampled(
        point=point,
        first=point,
        second=0.0,
        samples=samples,
        groups=len(counts),
        limits=(0.0 if (values >= 0).all() else -1.0, 1.0),
    )
