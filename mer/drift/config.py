"""Options of drift: how it is tested, and what is done about it. Imports no numpy: recipes and forms read it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

DriftPolicy = Literal["tell", "suggest", "start"]


class DriftConfig(BaseModel):
    """Comparison of new clips with the training snapshot of the version that is served."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    policy: DriftPolicy = Field(
        default="suggest",
        description="Most that drift leads to: a report (tell), also the command that retrains (suggest), or the retraining "
        "itself (start).",
    )
    alpha: float = Field(
        default=0.01,
        gt=0.0,
        le=0.2,
        description="Chance of an alarm for a batch that did not drift, all tests together.",
    )
    least_effect: float = Field(
        default=0.15,
        ge=0.0,
        lt=1.0,
        description="Smaller differences of distributions are no alarm, however sure (0: the same, 1: nothing in common).",
    )
    start_effect: float = Field(
        default=0.3,
        ge=0.0,
        lt=1.0,
        description="Policy start: a retraining starts where a difference is at least this large.",
    )
    start_clips: int = Field(default=50, ge=1, description="Policy start: ... in at least so many new clips.")
    start_labels: int = Field(
        default=20,
        ge=1,
        description="`--on-drift start`: a retraining starts from so many clips on whose labels the champion did not learn from, "
        "whether anything drifted or not.",
    )
    least_clips: int = Field(
        default=20, ge=4, description="Fewest new clips, and clips of the training snapshot, that are tested."
    )
    reference_clips: int = Field(
        default=600,
        ge=20,
        le=20_000,
        description="Most clips of the training snapshot that are kept to compare with, spread over its speakers.",
    )
    batch_clips: int = Field(
        default=1000,
        ge=20,
        le=20_000,
        description="Most new clips that are read, spread over their speakers.",
    )
    permutations: int = Field(
        default=999, ge=199, le=50_000, description="Permutations of speakers, the same for all tests."
    )
    seed: int = Field(default=0, ge=0, description="Seed of samples and permutations.")

    @model_validator(mode="after")
    def _alpha_is_reachable(self) -> DriftConfig:
        if self.alpha * (self.permutations + 1) < 1:
            raise ValueError(
                f"alpha {self.alpha}: expected at least 1 / (permutations + 1) = {1 / (self.permutations + 1):.2g}; "
                "no test could ever alarm"
            )
        return self
