"""The decision to keep a round: true labels of held-out speakers decide, before and after, clip by clip (system B, 2).

Known (siblings): stop when a held-out set of true labels no longer improves; pseudo-labels in validation folds flatter (a
cross-validation rose 9 points, its test .4). Reconstruction: the paired gain over all views' validation speakers, and the share
of resamples of these speakers in which there is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.evaluation.intervals import Resampling, paired_differences
from mer.evaluation.metrics import waf
from mer.selftraining.config import SelfTrainingConfig


@dataclass(frozen=True)
class HeldOutAnswers:
    """Predictions of the models before and after a round for clips with true labels that neither was trained on."""

    truth: NDArray[np.int64]
    """(N,) class index."""
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    speakers: tuple[str | None, ...]


@dataclass(frozen=True)
class RoundVerdict:
    """Verdict on a round by held-out true labels."""

    before: float
    """Weighted F1 before the round."""
    after: float
    gain: float
    probability: float
    """Share of resamples of the speakers in which the gain is above `least_gain`."""
    clips: int
    kept: bool
    reason: str


def judge_round(
    answers: Sequence[HeldOutAnswers], classes: int, config: SelfTrainingConfig, seed: int = 0
) -> RoundVerdict:
    """Compare two systems on the held-out clips of all views; a clip that several views hold out counts in each.

    Args:
        answers: by view.
        classes: number of classes.
        config: `least_gain` and `confidence`.
        seed: of the resamples.
    """
    truth = np.concatenate([view.truth for view in answers]) if answers else np.zeros(0, dtype=np.int64)
    if not len(truth):
        return RoundVerdict(
            float("nan"),
            float("nan"),
            float("nan"),
            0.0,
            0,
            False,
            "no validation clips: nothing can be said",
        )
    paired = paired_differences(
        truth,
        np.concatenate([view.after for view in answers]),
        np.concatenate([view.before for view in answers]),
        [speaker for view in answers for speaker in view.speakers],
        classes,
        score=waf,
        resampling=Resampling(seed=seed),
    )
    probability = float((paired.samples > config.least_gain).mean())
    evidence = (
        f"weighted F1 {paired.second:.3f} -> {paired.first:.3f} on {len(truth)} held-out true labels, "
        f"better in {100 * probability:.0f} % of resamples"
    )
    accepted = paired.point > config.least_gain and probability >= config.confidence
    required_gain = f"more than {config.least_gain:g} in at least {100 * config.confidence:.0f} %"
    return RoundVerdict(
        before=paired.second,
        after=paired.first,
        gain=paired.point,
        probability=probability,
        clips=len(truth),
        kept=accepted,
        reason=evidence if accepted else f"{evidence}; expected a gain of {required_gain}",
    )
