"""Options of self-training (system B, 2). Imports no numpy: recipes and forms read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

FIXED_THRESHOLD = 0.9
"""Least probability where a recipe names no policy."""


class AgreementConfig(BaseModel):
    """Conditions under which a vote is trusted as a label."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    agreeing: int = Field(
        default=2,
        ge=1,
        description="Voters that must name the class, the leading one among them (K of M); where there are fewer voters, all.",
    )
    precision: float | None = Field(
        default=0.85,
        gt=0.0,
        le=1.0,
        description="Thresholds by class such that this share of agreed votes on held-out true labels was right.",
    )
    share: float | None = Field(
        default=None,
        gt=0.0,
        le=1.0,
        description="Take this share of the agreed votes for each class, the most confident ones, in place of thresholds "
        "(class-balanced self-training): a class whose precision cannot be reached is then not left out.",
    )
    least_clips: int = Field(
        default=5, ge=1, description="Held-out clips of a class above its threshold; fewer say nothing."
    )
    cap_ratio: float | None = Field(
        default=3.0,
        gt=0.0,
        description="Most clips of a class relative to the rarest that was selected, both measured by their shares of the gold "
        "labels; none: no limit.",
    )


class GuardsConfig(BaseModel):
    """Bounds at which a refresh stops by itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    largest_canary_drop: float = Field(
        default=0.01,
        ge=0.0,
        lt=1.0,
        description="Most that weighted F1 on the canary clips (`split: canary`) may fall by in a round.",
    )
    largest_share_ratio: float = Field(
        default=4.0,
        gt=1.0,
        description="A class may have at most this many times its share of the gold labels, and at least its share divided by it "
        "(both shares by their 99 % intervals, so that few clips stop nothing).",
    )
    largest_drift: float = Field(
        default=0.6,
        gt=0.0,
        le=2.0,
        description="Most that the priors of new clips may differ from those of the labelled ones, in sum over classes; counts "
        "where a test says that they differ (the challenge's own test sets: .39).",
    )
    source_gap: float = Field(
        default=0.15,
        gt=0.0,
        lt=1.0,
        description="A source's labels may be contradicted more often than the others' by at most this share.",
    )
    source_alpha: float = Field(
        default=0.01,
        gt=0.0,
        lt=1.0,
        description="... and by chance with at most this probability, over all sources.",
    )
    source_clips: int = Field(
        default=10, ge=2, description="Fewest pseudo-labelled clips of a source that is looked at."
    )


class SelfTrainingConfig(AgreementConfig):
    """Options of self-training: votes on unlabelled clips, learning from pseudo-labels, acceptance of a round.

    Voters are the served system, which leads, and every single stream's model (multimodal with unimodal). Exactly one policy
    decides how sure is sure enough: fixed thresholds (the default), thresholds by held-out `precision`, or a `share`.
    """

    precision: float | None = Field(
        default=None,
        gt=0.0,
        le=1.0,
        description="Set thresholds by class such that this share of agreed votes on validation speakers' true labels was right; "
        "none: fixed thresholds, or `share`.",
    )
    threshold: float | None = Field(
        default=None,
        ge=0.0,
        le=1.0,
        description="Fixed: least probability of the leading voter's class, calibrated on validation speakers; none: .9, where "
        "neither `precision` nor `share` is given.",
    )
    class_thresholds: Mapping[str, float] = Field(
        default_factory=dict,
        description="Fixed thresholds of single classes, by name; they replace `threshold` "
        "(siblings of system B: .99 for happy, neutral, angry, sad and .85 for worried, surprise).",
    )
    cap_per_class: int | None = Field(
        default=None, ge=1, description="Most clips of one class (the most confident ones); none: no limit."
    )
    lead: Literal["served", "product"] = Field(
        default="served",
        description="Whose class and confidence count: the served system's, or those of all voters' product.",
    )
    targets: Literal["hard", "soft"] = Field(
        default="hard",
        description="Learn from the class alone, or from the leading voter's distribution over classes.",
    )
    weighting: Literal["confidence", "equal"] = Field(
        default="confidence",
        description="A pseudo-labelled clip's weight in the loss: its confidence times `weight`, or `weight`.",
    )
    weight: float = Field(
        default=1.0, gt=0.0, le=1.0, description="Weight of pseudo-labels beside gold labels, which weigh 1."
    )
    fusion: Mapping[str, Any] = Field(
        default_factory=dict,
        description="Options of the fusion that differ where it learns from pseudo-labels, e.g. a noise-robust "
        "`{emotion_loss: generalised}`.",
    )
    start: Literal["scratch", "warm"] = Field(
        default="scratch",
        description="Train every round from scratch, or go on from the view's supervised fusion (a single fusion only).",
    )
    rounds: int = Field(
        default=2,
        ge=1,
        le=10,
        description="Most rounds of a refresh: each votes anew on the same clips with what the round before has trained.",
    )
    least_gain: float = Field(
        default=0.0,
        ge=0.0,
        lt=1.0,
        description="A round is kept where weighted F1 on held-out true labels rises by more than this.",
    )
    confidence: float = Field(
        default=0.95,
        ge=0.5,
        lt=1.0,
        description="... and in this share of resamples of the held-out speakers; .5: the point estimate decides.",
    )

    guards: GuardsConfig = Field(
        default_factory=GuardsConfig, description="When a refresh stops by itself, with a reason."
    )

    @model_validator(mode="before")
    @classmethod
    def _as_it_was_written_before(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("temperature") == 1.0:  # packages of earlier versions
            return {name: option for name, option in value.items() if name != "temperature"}
        return value

    @model_validator(mode="after")
    def _one_policy(self) -> SelfTrainingConfig:
        named = [name for name in ("precision", "share", "threshold") if getattr(self, name) is not None]
        if self.class_thresholds and "threshold" not in named:
            named.append("class_thresholds")
        if len(named) > 1:
            raise ValueError(
                "pseudo_labels: expected one of fixed thresholds (`threshold`, `class_thresholds`), `precision` and `share`, "
                f"found {' and '.join(named)}"
            )
        return self

    def fixed_threshold(self, emotion: str) -> float:
        """Least probability of a class under fixed thresholds."""
        threshold = self.class_thresholds.get(emotion, self.threshold)
        return FIXED_THRESHOLD if threshold is None else threshold
