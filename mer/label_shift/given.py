"""Class priors that a person gives for the clips to predict: read, checked, and what they change.

Where somebody knows how often each class comes (a plan of the recordings, a counted sample, a published table) nothing needs to
be estimated: the answers are those of the prior-weighted vote (`vote.py`) under these priors. They hold for any number of clips,
one included; the training priors and the calibration come from the model's out-of-fold predictions, as everywhere in this room.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mer.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mer.label_shift.analysis import NoAnalysis, ShiftAnalysis
    from mer.label_shift.clip_sets import CalibrationClips, TargetClips

    Floats = NDArray[np.float64]

GIVEN = "given"
"""Name of the estimator in summaries, where nothing was estimated."""
TOLERANCE = 0.02
"""Shares with two digits may miss their sum of 1 by so much; they are scaled to it."""
HOW = "neutral=.2,angry=.3,..."


@dataclass(frozen=True)
class GivenAnalysis:
    """What given priors change of some answers."""

    emotions: tuple[str, ...]
    training: Floats
    """(C,) share of every class among the labelled held-out clips."""
    given: Floats
    """(C,) sums to 1."""
    served: Floats
    """(N, C) log-posteriors as they are served, without correction."""
    corrected: Floats
    """(N, C) log-posteriors under the given priors."""
    calibration_clips: int
    applied: bool
    """Whether the corrected answers are the ones to give; otherwise the change is reported only."""
    support: float
    """Mean log-likelihood ratio a clip of the given priors against the training ones: below 0 the clips themselves speak rather
    for the training priors.
    """
    estimated: ShiftAnalysis | NoAnalysis
    """What would be estimated of the same clips."""

    @property
    def changed(self) -> NDArray[np.bool_]:
        """(N,) whose most probable class the correction changes, applied or not."""
        import numpy as np

        return np.asarray(self.served.argmax(axis=1) != self.corrected.argmax(axis=1))

    def to_json(self) -> dict[str, Any]:
        """The summary as JSON values: that of the estimate where there is one, with what was given in place of it."""
        from mer.label_shift.analysis import answered_shares

        estimated = self.estimated.to_json()
        known = {entry["emotion"]: entry for entry in estimated.get("classes", ())}
        before, after = answered_shares(self.served), answered_shares(self.corrected)
        summary = {
            "available": True,
            "estimator": GIVEN,
            "clips": len(self.served),
            "calibration_clips": self.calibration_clips,
            "corrected": self.applied,
            "changed": int(self.changed.sum()),
            "changed_share": float(self.changed.mean()) if len(self.served) else 0.0,
            "support": self.support,
            "classes": [
                known.get(name, {})
                | {
                    "emotion": name,
                    "training_prior": float(self.training[index]),
                    "given": float(self.given[index]),
                    "answers_served": float(before[index]),
                    "answers_corrected": float(after[index]),
                }
                for index, name in enumerate(self.emotions)
            ],
        }
        if not estimated["available"]:
            return {"reason_not_estimated": estimated["reason"]} | summary
        return estimated | summary


def parse_priors(text: str) -> dict[str, float]:
    """Read `neutral=.2,angry=.3,...`; an empty text gives none.

    Raises:
        ConfigError: not of this form, or a class twice.
    """
    priors: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, share = (piece.strip() for piece in part.partition("="))
        try:
            value = float(share)
        except ValueError:
            value = math.nan
        if not (name and equals and math.isfinite(value)):
            raise ConfigError(
                f"priors: expected CLASS=SHARE, several with commas between ({HOW}), found {part!r}"
            )
        if name in priors:
            raise ConfigError(f"priors: expected every class once, found {name} twice")
        priors[name] = value
    return priors


def checked_priors(priors: Mapping[str, float], emotions: Sequence[str]) -> Floats:
    """(C,) priors in the order of the classes, scaled to a sum of 1.

    Raises:
        ConfigError: a class that is none or has no prior, a share of 0 or below, or a sum that is not 1.
    """
    import numpy as np

    if unknown := [name for name in priors if name not in emotions]:
        raise ConfigError(
            f"priors: expected the model's classes ({', '.join(emotions)}), found {', '.join(unknown)}"
        )
    if missing := [name for name in emotions if name not in priors]:
        raise ConfigError(
            f"priors: expected a share of every class ({', '.join(emotions)}), none of {', '.join(missing)}"
        )
    if low := [f"{name}={priors[name]:g}" for name in emotions if not priors[name] > 0]:
        raise ConfigError(
            f"priors: expected shares above 0, found {', '.join(low)}; a class that never comes would never be answered: give it "
            "a small share (.001)"
        )
    values = np.array([priors[name] for name in emotions], dtype=np.float64)
    if abs(values.sum() - 1) > TOLERANCE:
        raise ConfigError(
            f"priors: expected shares that sum to 1, found a sum of {values.sum():.4g}; percent are a hundredth"
        )
    return np.asarray(values / values.sum())


def analyse_given(
    calibration: CalibrationClips,
    target: TargetClips,
    given: Floats,
    estimated: ShiftAnalysis | NoAnalysis,
    emotions: Sequence[str],
    *,
    applied: bool = True,
) -> GivenAnalysis:
    """Correct the posteriors of `target` for given priors.

    Args:
        calibration: out-of-fold logits with true labels, at the temperature that is served.
        target: logits of the clips that are asked for, at the same temperature.
        given: (C,) priors as `checked_priors` gives them.
        estimated: the analysis without them.
        emotions: class names in index order.
        applied: whether the corrected answers are the ones to give.

    Raises:
        ConfigError: a class without a labelled held-out clip, whose training prior is 0.
    """
    import numpy as np

    from mer.label_shift.calibration import fit_bias_corrected, log_softmax
    from mer.label_shift.likelihood import prior_ratios
    from mer.label_shift.vote import prior_weighted_vote

    training = calibration.shares
    if absent := [name for name, share in zip(emotions, training, strict=True) if not share > 0]:
        raise ConfigError(
            "priors: expected labelled clips of every class among those the model was evaluated on, found none of "
            f"{', '.join(absent)}: what their prior was in training is not known; leave the priors out"
        )
    fit = fit_bias_corrected(calibration.logits, calibration.truth).calibrated
    calibrated = fit.log_probabilities(target.logits)
    ratios = prior_ratios(calibrated, training)
    support = np.log(ratios @ given) - np.log(ratios @ training)
    return GivenAnalysis(
        emotions=tuple(emotions),
        training=training,
        given=given,
        served=log_softmax(target.logits.astype(np.float64)),
        corrected=prior_weighted_vote([calibrated], training, given),
        calibration_clips=len(calibration.truth),
        applied=applied,
        support=float(support.mean()) if len(support) else 0.0,
        estimated=estimated,
    )
