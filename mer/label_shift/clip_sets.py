"""Input of the estimation of label shift: labelled clips that no model was trained on, and the unlabelled target clips."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError
from mer.evaluation.intervals import resampling_groups

Floats = NDArray[np.float64]
MOST_GROUPS = 400
"""More groups than this are drawn together at random: the bootstrap of independent units keeps its variance, and stays cheap."""


@dataclass(frozen=True)
class TargetClips:
    """Predictions for clips whose labels are not known (and never read)."""

    logits: NDArray[np.floating]
    """(N, C) logits as they are served, at the model's temperature."""
    speakers: tuple[str | None, ...] = ()
    """(N,) speaker or another source that clips share; None = unknown. Empty: all unknown."""

    def __post_init__(self) -> None:
        if self.logits.ndim != 2 or not np.isfinite(self.logits).all():
            raise ConfigError("label shift: expected finite logits (clips, classes)")
        if self.speakers and len(self.speakers) != len(self.logits):
            raise ConfigError(
                f"label shift: expected {len(self.logits)} speakers, found {len(self.speakers)}"
            )

    @property
    def grouped(self) -> bool:
        """Whether clips are known to share speakers, so that they are no independent evidence."""
        known = [who for who in self.speakers if who is not None]
        return 1 < len(set(known)) < len(known)

    def groups(self) -> NDArray[np.int64]:
        """(N,) group: the speaker, or a clip by itself."""
        return resampling_groups(self.speakers or (None,) * len(self.logits), len(self.logits))


@dataclass(frozen=True)
class CalibrationClips(TargetClips):
    """Out-of-fold predictions with true labels: their shares are the training priors."""

    truth: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """(N,) class index, no -1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.truth) != len(self.logits):
            raise ConfigError(f"label shift: expected {len(self.logits)} labels, found {len(self.truth)}")

    @property
    def shares(self) -> Floats:
        """(C,) share of every class among the labels."""
        counts = np.bincount(self.truth, minlength=self.logits.shape[1])
        return np.asarray(counts / max(len(self.truth), 1))


def drawn_together(
    groups: NDArray[np.int64], generator: np.random.Generator, most: int = MOST_GROUPS
) -> NDArray[np.int64]:
    """(N,) groups, joined at random to `most` where there are more."""
    number = int(groups.max()) + 1
    if number <= most:
        return groups
    return np.asarray(generator.permutation(number)[groups] % most)


def summed(values: Floats, groups: NDArray[np.int64]) -> Floats:
    """(G, K) sums of (N, K) values by group."""
    number = int(groups.max()) + 1
    return np.stack([np.bincount(groups, weights=column, minlength=number) for column in values.T], axis=1)
