"""What every answer is: one clip's prediction. Imports neither torch nor arrays; files of predictions: `mer.prediction_files`.

A clip that could not be read has a prediction as well, whose status says why there is no answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mer.emotions import VALENCE_RANGE
from mer.errors import QuarantineReason
from mer.media.sniff import printable

OK: Literal["ok"] = "ok"
ABSTAINED: Literal["abstained"] = "abstained"
"""Status of clips that were read and are not answered, because the policy says so (`mer.conformal.policy`)."""
_TOLERANCE = 1e-4
"""Probabilities written with a few digits may miss their sum by so much."""


@dataclass(frozen=True)
class Evidence:
    """What a model had of one clip to answer by."""

    streams: tuple[str, ...]
    """Streams that were present, in the recipe's order."""
    flags: tuple[str, ...]
    """What is odd about them, or why one is absent (see `ClipFeature.flags`); each once."""
    trust: float = 1.0
    """How far the answer is to be trusted, 0..1; 0: nothing was read of the clip. See `mer.predictor.trust`."""


class Prediction(BaseModel):
    """One clip's answer, or why there is none."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(description="Name of the clip: that of its corpus, or of its file without suffix.")
    path: str = Field(
        description="File, as it was given; of a clip without media, its address in the corpus."
    )
    status: Literal["ok", "abstained"] | QuarantineReason = Field(
        default=OK,
        description="`ok`; `abstained`: read, and not sure enough to be answered; or the reason why nothing could be read, as "
        "quarantine reasons are called.",
    )
    probabilities: dict[str, float] = Field(
        default_factory=dict,
        description="Class -> calibrated probability, in class order; empty where nothing could be read.",
    )
    prediction_set: tuple[str, ...] = Field(
        default=(),
        description="Classes that the clip may have at the coverage asked for, the likeliest first; empty: none was asked for.",
    )
    discrete: str | None = Field(default=None, description="The most probable class.")
    confidence: float | None = Field(default=None, ge=0.0, le=1.0, description="Its probability.")
    valence: float | None = Field(
        default=None,
        ge=VALENCE_RANGE[0],
        le=VALENCE_RANGE[1],
        description="Valence in [-5, 5] (clipped to it); none where the model has learnt none.",
    )
    modalities: tuple[str, ...] = Field(
        default=(),
        description="Streams that the clip had and the model read; none: it answers by what it expects of any clip.",
    )
    flags: tuple[str, ...] = Field(
        default=(),
        description="What is odd about the clip: no_speech, no_face, too_short, out_of_domain, cut, ...",
    )
    model: str = Field(description="Name of the model.")
    version: int | None = Field(
        default=None, ge=1, description="Its version; none where it is not a registered one."
    )

    @field_validator("name", "path", mode="before")
    @classmethod
    def _printable(cls, value: object) -> object:
        return printable(value) if isinstance(value, str) else value

    @classmethod
    def of_answer(
        cls,
        clip: tuple[str, str],
        probabilities: Mapping[str, float],
        valence: float,
        evidence: Evidence,
        model: tuple[str, int | None],
    ) -> Self:
        """A model's answer.

        Args:
            clip: name and path.
            probabilities: class -> probability, in class order; sum 1.
            valence: as the model gives it, NaN where it gives none; what is beyond the labels' range is clipped to it.
            evidence: what the model had of the clip.
            model: name and version.
        """
        best = max(probabilities, key=lambda name: probabilities[name])
        return cls(
            name=clip[0],
            path=clip[1],
            probabilities=dict(probabilities),
            discrete=best,
            confidence=probabilities[best],
            valence=None if valence != valence else min(max(valence, VALENCE_RANGE[0]), VALENCE_RANGE[1]),
            modalities=evidence.streams,
            flags=evidence.flags,
            model=model[0],
            version=model[1],
        )

    @property
    def answered(self) -> bool:
        """Whether there is an answer."""
        return self.status == OK

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if not self.answered and {self.discrete, self.confidence, self.valence} != {None}:
            raise ValueError(f"status {self.status}: expected no answer beside it, found one")
        if self.status not in (OK, ABSTAINED):
            if self.probabilities or self.modalities or self.prediction_set:
                raise ValueError(f"status {self.status}: expected nothing that was read, found some")
            return self
        shares = self.probabilities
        if not set(self.prediction_set) <= set(shares):
            raise ValueError(f"prediction_set: expected classes of {shares}, found {self.prediction_set}")
        if len(shares) < 2 or min(shares.values()) < 0 or abs(sum(shares.values()) - 1) > _TOLERANCE:
            raise ValueError(
                f"probabilities: expected at least 2 classes, none negative, 1 in sum, found {shares}"
            )
        if self.status == ABSTAINED:
            return self
        if self.discrete not in shares or shares[self.discrete] < max(shares.values()) - _TOLERANCE:
            raise ValueError(
                f"discrete: expected the most probable class of {shares}, found {self.discrete!r}"
            )
        if self.confidence is None or abs(self.confidence - shares[self.discrete]) > _TOLERANCE:
            raise ValueError(
                f"confidence: expected the probability of {self.discrete} ({shares[self.discrete]}), found {self.confidence}"
            )
        return self


def flag_counts(predictions: Iterable[Prediction]) -> str:
    """How many answers have which flag, the commonest first, for people; empty where none has one.

    >>> flag_counts(predictions)
    'flags: out_of_domain 12, no_speech 3'
    """
    counts = Counter(flag for prediction in predictions for flag in prediction.flags)
    shown = ", ".join(f"{flag} {count}" for flag, count in counts.most_common())
    return f"flags: {shown}" if shown else ""
