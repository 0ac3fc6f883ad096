"""When an answer is given at all, and which classes it may be: what is asked of a version, applied to its predictions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from mer.conformal.record import ConformalRecord
from mer.predictions import ABSTAINED, Prediction

RISK_TOO_HIGH = "risk_too_high"
"""Flag of clips that are not answered because answers as unsure as theirs are wrong too often."""


class AnswerPolicy(BaseModel):
    """What is asked of answers; as it comes, nothing: every clip that can be read is answered by its most probable class."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    coverage: float | None = Field(
        default=None,
        ge=0.5,
        le=0.999,
        description="Share of new speakers' clips whose true class is to be in the prediction set; none: no sets.",
    )
    abstain_above_risk: float | None = Field(
        default=None,
        gt=0.0,
        lt=1.0,
        description="Share of answers that may be wrong: clips that are too unsure for it get no answer; none: all get one.",
    )
    no_answer_on: tuple[str, ...] = Field(
        default=(),
        description="Flags whose clips get no answer (out_of_domain, no_speech, one_modality ...).",
    )

    def overridden(self, asked: AnswerPolicy) -> AnswerPolicy:
        """This one, but for what `asked` says."""
        said = {name: getattr(asked, name) for name in type(asked).model_fields if getattr(asked, name)}
        return self.model_copy(update=said)

    @property
    def asks(self) -> bool:
        """Whether anything is asked."""
        return self.measured or bool(self.no_answer_on)

    @property
    def measured(self) -> bool:
        """Whether what is asked needs a version's record."""
        return self.coverage is not None or self.abstain_above_risk is not None

    def apply(self, predictions: Sequence[Prediction], record: ConformalRecord | None) -> list[Prediction]:
        """The predictions under the policy, in order; clips without an answer stay as they are.

        Args:
            predictions: of one version.
            record: its own; may be none where nothing `measured` is asked.

        Raises:
            ConfigError: a coverage or risk that the version cannot promise.
        """
        if record is None or not self.measured:
            return [self._flagged(prediction) for prediction in predictions]
        answered = [prediction for prediction in predictions if prediction.answered]
        sets: list[tuple[str, ...]] = [()] * len(answered)
        if self.coverage is not None and answered:
            shares = np.array([list(one.probabilities.values()) for one in answered], dtype=np.float64)
            held = record.sets(shares, self.coverage)
            sets = [_likeliest_first(one, row) for one, row in zip(answered, held.tolist(), strict=True)]
        risk = self.abstain_above_risk
        least = 0.0 if risk is None else record.least_confidence(risk)
        given = iter(sets)
        return [
            self._flagged(_limited(prediction, next(given), least)) if prediction.answered else prediction
            for prediction in predictions
        ]

    def _flagged(self, prediction: Prediction) -> Prediction:
        """Without an answer where a flag of the policy says so."""
        refused = prediction.answered and not set(self.no_answer_on).isdisjoint(prediction.flags)
        return abstained(prediction) if refused else prediction


def abstained(prediction: Prediction, flag: str = "") -> Prediction:
    """The prediction without its answer: probabilities, set and flags stay, for people who look at the clip."""
    flags = (*prediction.flags, flag) if flag else prediction.flags
    return prediction.model_copy(
        update={"status": ABSTAINED, "discrete": None, "confidence": None, "valence": None, "flags": flags}
    )


def abstained_line(predictions: Sequence[Prediction]) -> str:
    """How many clips were read and not answered, for people; empty where all that were read are answered.

    >>> abstained_line(predictions)
    'no answer by policy: 12 of 60 clips'
    """
    refused = sum(prediction.status == ABSTAINED for prediction in predictions)
    read = sum(bool(prediction.probabilities) for prediction in predictions)
    return f"no answer by policy: {refused} of {read} clips" if refused else ""


def _limited(prediction: Prediction, held: tuple[str, ...], least: float) -> Prediction:
    known = prediction.model_copy(update={"prediction_set": held}) if held else prediction
    unsure = prediction.confidence is not None and prediction.confidence < least
    return abstained(known, RISK_TOO_HIGH) if unsure else known


def _likeliest_first(prediction: Prediction, held: Sequence[bool]) -> tuple[str, ...]:
    names = [name for name, inside in zip(prediction.probabilities, held, strict=True) if inside]
    return tuple(sorted(names, key=lambda name: -prediction.probabilities[name]))
