"""Options of a posterior ensemble. Imports no torch: recipes and forms read it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from mer.names import check_name, is_stored

Weighting = Literal["uniform", "entropy", "stacked", "log_pool"]
Pruning = Literal["none", "greedy", "backward"]

LEAST_MEMBERS = 2
"""Members of an ensemble that are named."""


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


class EnsembleConfig(CombinationConfig):
    """Several systems of the same streams, combined on the level of their posteriors: named members, or a search for them."""

    members: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Name of a member -> the options in which its fusion differs from the recipe's `fusion`; or, with `kind: kernel`, "
        "`linear` or `searched`, options of a system of that kind.",
    )
    search: dict[str, Any] | None = Field(
        default=None,
        description="In place of members: kernel and linear systems whose streams, weights, widths, penalties and hidden states are "
        "chosen by inner speaker folds of what each view learns from.",
    )
    serve: bool = Field(
        default=True,
        description="Gate and serve the ensemble (pseudo-labels are then its own); off: it is only scored, and the one "
        "fusion of `fusion` is served.",
    )

    @field_validator("members")
    @classmethod
    def _plain_names(
        cls, value: dict[str, dict[str, Any]], info: ValidationInfo
    ) -> dict[str, dict[str, Any]]:
        for name in value if not is_stored(info.context) else ():
            check_name(name, "name of a member")
        return value

    @model_validator(mode="after")
    def _members_or_a_search(self) -> EnsembleConfig:
        if self.search is not None and self.members:
            raise ValueError(
                f"expected `members` or `search`, found both ({', '.join(self.members)}); for a searched system beside other "
                "members give it as one: `members: {NAME: {kind: searched}}`"
            )
        if self.search is None and len(self.members) < LEAST_MEMBERS:
            raise ValueError(
                f"members: expected at least {LEAST_MEMBERS}, found {len(self.members)}; name more, or `search: {{}}` in their place"
            )
        return self
