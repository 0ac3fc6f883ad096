"""Options of a posterior ensemble. Imports no torch: recipes and forms read it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Weighting = Literal["uniform", "entropy", "stacked", "log_pool"]
Pruning = Literal["none", "greedy", "backward"]


class CombinationConfig(BaseModel):
    """How the posteriors of several models are combined.

    Whatever is learnt (temperatures, stacked weights, pruning) is learnt on a view's validation speakers, never on its test
    clips.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weighting: Weighting = Field(
        default="entropy",
        description="Members alike; per clip, exp(-entropy); weights with the best held-out likelihood; or the vote by summed "
        "log-posteriors, which `label_shift` corrects by the priors.",
    )
    calibrate: bool = Field(
        default=True,
        description="Divide the logits of every member, and of the ensemble, by a temperature fitted on validation clips.",
    )
    calibrate_valence: bool = Field(
        default=False,
        description="Decode the valence of every member, and of the ensemble, with posteriors at their fitted temperature, and "
        "keep that share of what it adds to the classes' mean valence that fits the validation clips; off: as it is. "
        "It gained nothing on a fresh demo corpus.",
    )
    pruning: Pruning = Field(
        default="none",
        description="Leave out members that do not help the likelihood of the validation clips' labels: chosen one by "
        "one with replacement, or removed one by one.",
    )
