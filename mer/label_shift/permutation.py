"""Is there a shift at all? A permutation test of calibration clips against target clips.

The score of the likelihood of priors, at the training priors, is the mean posterior of the target clips; so the test asks
whether mean posteriors differ between the two sets (known: the score test; Lipton et al. 2018 detect shift from the same
means). Clips are exchangeable between the sets if nothing shifted, so permuting which set they belong to counts the
sampling error of both: the training priors, too, are an estimate. Speakers are moved as a whole where both sets know
them. Where one does not, clips are moved, and the statistic is divided by the design effect of the other's speakers
(known: Kish 1965; its use here is ours), as clips of a speaker are alike. The posteriors must not have been fitted to the
calibration labels class by class: they would be closer to those clips than to others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.label_shift.calibration import log_softmax
from mer.label_shift.clip_sets import CalibrationClips, TargetClips, summed

Floats = NDArray[np.float64]
_BLOCKS = 1000


@dataclass(frozen=True)
class ShiftTest:
    """Result of the test."""

    statistic: float
    """Squared distance of the mean posteriors in standard errors, over the design effect."""
    p_value: float
    permutations: int
    units: int
    """Speakers, clips or blocks of clips that were permuted."""
    by_speaker: bool
    design_effect: float
    """How much more the mean varies than with independent clips; 1 where speakers are permuted, or nowhere known."""

    def shifted(self, alpha: float) -> bool:
        """Whether the test says that priors differ."""
        return self.p_value <= alpha


def permutation_test(
    calibration: CalibrationClips, target: TargetClips, permutations: int = 1999, seed: int = 0
) -> ShiftTest:
    """Compare the mean posteriors of both sets with those of sets drawn at random from all clips."""
    generator = np.random.default_rng(seed)
    first, second = (np.exp(log_softmax(clips.logits.astype(np.float64))) for clips in (calibration, target))
    values = np.concatenate([first, second])
    by_speaker = calibration.grouped and target.grouped
    effect = 1.0
    if by_speaker:
        calibration_groups, target_groups = calibration.groups(), target.groups()
    else:
        # speakers are not known on both sides: random blocks of clips are permuted, and the design effect is divided out
        effect = max(design_effect(clips, of) for clips, of in ((calibration, first), (target, second)))
        size = -(-len(values) // _BLOCKS)
        calibration_groups, target_groups = (
            generator.permutation(len(clips)) // size for clips in (first, second)
        )
    groups = np.concatenate([calibration_groups, target_groups + calibration_groups.max() + 1])
    calibration_count = int(calibration_groups.max()) + 1
    # posteriors sum to 1, so their covariance has no plain inverse
    inverse = np.linalg.pinv(np.cov(values.T), rcond=1e-8)
    sums, sizes = summed(values, groups), np.bincount(groups).astype(np.float64)
    drawn = np.zeros((permutations + 1, len(sizes)))
    drawn[0, :calibration_count] = 1.0  # the sets as they are, then permuted
    order = generator.permuted(np.tile(np.arange(len(sizes)), (permutations, 1)), axis=1)[
        :, :calibration_count
    ]
    np.put_along_axis(drawn[1:], order, 1.0, axis=1)
    distances = _distances(drawn, sums, sizes, inverse)
    observed = float(distances[0]) / effect
    # equal distances may differ by rounding
    beyond = int((distances[1:] >= observed * (1 - 1e-12)).sum())
    return ShiftTest(
        statistic=observed,
        p_value=(beyond + 1) / (permutations + 1),
        permutations=permutations,
        units=len(sizes),
        by_speaker=by_speaker,
        design_effect=effect,
    )


def _distances(drawn: Floats, sums: Floats, sizes: Floats, inverse: Floats) -> Floats:
    """(P,) squared distance of the two sets' means in standard errors of independent clips, for every assignment."""
    inside, clips = drawn @ sums, drawn @ sizes
    rest, others = sums.sum(axis=0) - inside, sizes.sum() - clips
    gap = inside / clips[:, None] - rest / others[:, None]
    return np.asarray(np.einsum("pi,ij,pj->p", gap, inverse, gap) / (1 / clips + 1 / others))


def design_effect(clips: TargetClips, values: Floats) -> float:
    """Variance of the mean of (N, C) values by speakers over that of independent clips, averaged over directions; at least 1."""
    if not clips.grouped:
        return 1.0
    away = values - values.mean(axis=0)
    sums = summed(away, clips.groups())
    inverse = np.linalg.pinv(away.T @ away, rcond=1e-8)
    rank = int(np.linalg.matrix_rank(inverse, hermitian=True))
    few = len(sums) / max(len(sums) - 1, 1)
    return max(1.0, float(np.trace(inverse @ (sums.T @ sums))) / max(rank, 1) * few)
