"""Label shift of a set of clips in one piece: test, both priors, corrected answers, and what is reported of them.

Answers are corrected where the test says shift and EM and BBSE agree on the priors. Both suppose that each class looks as
it did; where a classifier is less sure than it was (noise, other speakers) EM is led astray further than BBSE, and a
correction would do harm (reconstruction; the idea of Hausman 1978, with a fixed bound instead of a significance). That
they agree is no proof: classes that look like one another now, and did not before, cannot be told from other priors. With
and without correction is always reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.label_shift.calibration import fit_bias_corrected, log_softmax
from mer.label_shift.clip_sets import CalibrationClips, TargetClips
from mer.label_shift.config import Estimator, LabelShiftConfig
from mer.label_shift.intervals import PriorEstimate, estimate_priors
from mer.label_shift.likelihood import estimate_em
from mer.label_shift.permutation import ShiftTest, permutation_test
from mer.label_shift.vote import prior_weighted_vote

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ShiftAnalysis:
    """Estimated priors of the target clips, and the answers with and without correction for them."""

    emotions: tuple[str, ...]
    config: LabelShiftConfig
    training: Floats
    """(C,) share of every class among the labelled held-out clips."""
    estimates: dict[Estimator, PriorEstimate]
    test: ShiftTest
    served: Floats
    """(N, C) log-posteriors as they are served, without correction."""
    corrected: Floats
    """(N, C) log-posteriors under the estimated priors."""
    calibration_clips: int
    unpulled: Floats
    """(C,) priors by EM without a pull toward the training priors: what BBSE is compared with."""

    @property
    def shifted(self) -> bool:
        """Whether the test says that the priors differ."""
        return self.test.shifted(self.config.alpha)

    @property
    def disagreement(self) -> float:
        """L1 distance between the priors by EM, without a pull, and by BBSE with posteriors."""
        return float(np.abs(self.unpulled - self.estimates["bbse_soft"].prior).sum())

    @property
    def consistent(self) -> bool:
        """Whether a shift of priors alone may explain the difference."""
        return self.disagreement <= self.config.largest_disagreement

    @property
    def applied(self) -> bool:
        """Whether the corrected answers are the ones to give."""
        return self.shifted and self.consistent and self.config.mode == "correct-if-shifted"

    @property
    def answers(self) -> Floats:
        """(N, C) log-posteriors to answer by."""
        return self.corrected if self.applied else self.served

    @property
    def changed(self) -> NDArray[np.bool_]:
        """(N,) whose most probable class the correction changes, applied or not."""
        return np.asarray(self.served.argmax(axis=1) != self.corrected.argmax(axis=1))

    def to_json(self) -> dict[str, Any]:
        """The summary as JSON values."""
        shares = {
            "answers_served": answered_shares(self.served),
            "answers_corrected": answered_shares(self.corrected),
        }
        return {
            "available": True,
            "mode": self.config.mode,
            "estimator": self.config.estimator,
            "pull": self.config.pull,
            "clips": len(self.served),
            "calibration_clips": self.calibration_clips,
            "shifted": self.shifted,
            "disagreement": self.disagreement,
            "consistent": self.consistent,
            "corrected": self.applied,
            "changed": int(self.changed.sum()),
            "changed_share": float(self.changed.mean()),
            "test": {**vars(self.test), "alpha": self.config.alpha},
            "confidence": self.config.confidence,
            "classes": [
                {"emotion": name, "training_prior": float(self.training[index])}
                | {
                    f"{method}{end}": float(values[index])
                    for method, estimate in self.estimates.items()
                    for end, values in (
                        ("", estimate.prior),
                        ("_low", estimate.low),
                        ("_high", estimate.high),
                    )
                }
                | {"estimated": float(self.estimates[self.config.estimator].prior[index])}
                | {kind: float(values[index]) for kind, values in shares.items()}
                for index, name in enumerate(self.emotions)
            ],
        }


@dataclass(frozen=True)
class NoAnalysis:
    """Why nothing can be said of the priors; answers stay as they are."""

    reason: str

    def to_json(self) -> dict[str, Any]:
        """The summary as JSON values."""
        return {"available": False, "reason": self.reason, "corrected": False}


def analyse_shift(
    calibration: CalibrationClips, target: TargetClips, emotions: Sequence[str], config: LabelShiftConfig
) -> ShiftAnalysis | NoAnalysis:
    """Test for a shift of `target`, estimate its priors and correct its posteriors.

    Args:
        calibration: out-of-fold logits with true labels, at the temperature that is served.
        target: logits of the clips that are asked for, at the same temperature; their labels are not looked at.
        emotions: class names in index order.
        config: options; `mode` decides what `answers` gives.
    """
    if (reason := _too_little(calibration, target, emotions, config)) is not None:
        return NoAnalysis(reason)
    fit = fit_bias_corrected(calibration.logits, calibration.truth)
    estimates = estimate_priors(
        calibration,
        target,
        fit,
        resamples=config.resamples,
        confidence=config.confidence,
        seed=config.seed,
        pull=config.pull,
    )
    training = calibration.shares
    calibrated = fit.calibrated.log_probabilities(target.logits)
    return ShiftAnalysis(
        emotions=tuple(emotions),
        config=config,
        training=training,
        estimates=dict(estimates),
        test=permutation_test(calibration, target, config.permutations, config.seed),
        served=log_softmax(target.logits.astype(np.float64)),
        corrected=prior_weighted_vote([calibrated], training, estimates[config.estimator].prior),
        calibration_clips=len(calibration.truth),
        unpulled=estimate_em(calibrated, training).prior,
    )


def too_few(what: str, number: int, config: LabelShiftConfig) -> str | None:
    """Why so many clips (`target`, `labelled held-out`) are too few to estimate priors; None where they are not."""
    if number >= config.minimum_clips:
        return None
    return f"{number} {what} clips: expected at least {config.minimum_clips}"


def _too_little(
    calibration: CalibrationClips, target: TargetClips, emotions: Sequence[str], config: LabelShiftConfig
) -> str | None:
    for what, number in (("target", len(target.logits)), ("labelled held-out", len(calibration.truth))):
        if (reason := too_few(what, number, config)) is not None:
            return reason
    counts = np.bincount(calibration.truth, minlength=len(emotions))
    rare = [
        name
        for name, count in zip(emotions, counts.tolist(), strict=True)
        if count < config.minimum_per_class
    ]
    if rare:
        return (
            f"fewer than {config.minimum_per_class} labelled held-out clips of {', '.join(rare)}: "
            "what these classes look like is not known"
        )
    return None


def answered_shares(log_posteriors: Floats) -> Floats:
    """(C,) share of every class among the answers."""
    classes = log_posteriors.shape[1]
    return np.asarray(
        np.bincount(log_posteriors.argmax(axis=1), minlength=classes) / max(len(log_posteriors), 1)
    )
