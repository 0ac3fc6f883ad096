"""Options of label shift. Imports no numpy: recipes and forms read it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

ShiftMode = Literal["off", "report", "correct-if-shifted"]
Estimator = Literal["em", "bbse_soft", "bbse_hard"]


class LabelShiftConfig(BaseModel):
    """Handling of class priors that differ between the training clips and those that are predicted.

    In a recipe the mode alone may stand for all of it: `label_shift: correct-if-shifted`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: ShiftMode = Field(
        default="report",
        description="Nothing; a report of both priors beside the predictions; or also corrected answers, where the test says "
        "that there is a shift.",
    )
    estimator: Estimator = Field(
        default="em",
        description="Priors that are corrected to: EM (Saerens), or BBSE with posteriors or predicted classes. All are reported.",
    )
    pull: float = Field(
        default=100.0,
        ge=0.0,
        le=1e6,
        description="EM's pull toward the training priors: clips of known classes, shared out as in training, that count beside "
        "those predicted (a Dirichlet prior). A hundred change nothing among 20,000; among a few hundred they keep noise from "
        "being corrected for (`python -m benchmarks.label_shift.pull`). 0: none.",
    )
    alpha: float = Field(
        default=0.01, gt=0.0, lt=1.0, description="The test says shift where its p-value is at most this."
    )
    largest_disagreement: float = Field(
        default=0.1,
        gt=0.0,
        le=2.0,
        description="Answers are left alone where the priors by EM and by BBSE with posteriors differ by more than this in sum: "
        "then the classes themselves look different, or too little is known. Two estimates within .05 of the truth pass.",
    )
    minimum_clips: int = Field(
        default=100,
        ge=2,
        description="Fewest target clips, and labelled clips, of which priors are estimated.",
    )
    minimum_per_class: int = Field(
        default=5, ge=1, description="Fewest labelled held-out clips of every class."
    )
    confidence: float = Field(
        default=0.95, gt=0.5, lt=1.0, description="Coverage of the priors' bootstrap intervals."
    )
    resamples: int = Field(default=1000, ge=100, le=20_000, description="Bootstrap resamples.")
    permutations: int = Field(
        default=1999,
        ge=199,
        le=50_000,
        description="Permutations of the test; the least p-value is 1 / (this + 1).",
    )
    seed: int = Field(default=0, ge=0, description="Seed of resamples and permutations.")

    @model_validator(mode="before")
    @classmethod
    def _mode_alone(cls, value: Any) -> Any:
        if value is False:  # YAML reads a bare `off` as false
            return {"mode": "off"}
        if isinstance(value, str):
            return {"mode": value}
        if isinstance(value, dict) and value.get("mode") is False:
            return {**value, "mode": "off"}
        return value

    @model_validator(mode="after")
    def _alpha_is_reachable(self) -> LabelShiftConfig:
        if self.alpha * (self.permutations + 1) < 1:
            raise ValueError(
                f"alpha {self.alpha}: expected at least 1 / (permutations + 1) = {1 / (self.permutations + 1):.2g}; "
                "the test could never say shift"
            )
        return self
