"""The ensemble of a recipe: named members of any kind, or a search. Imports no torch."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from mer.ensemble.config import CombinationConfig
from mer.kernels.config import SearchedOptions
from mer.names import check_name, is_stored

LEAST_MEMBERS = 2
"""Members of an ensemble that are named."""
STREAM_OPTIONS = ("streams", "states")
"""Options of kernel, linear and searched systems that name streams."""

Options = dict[str, Any]


class EnsembleConfig(CombinationConfig):
    """Several systems of the same streams, combined on the level of their posteriors: named members, or a search for them."""

    members: dict[str, Options] = Field(
        default_factory=dict,
        description="Name of a member -> the options in which its fusion differs from the recipe's `fusion`; or, with "
        "`kind: kernel`, `linear` or `searched`, options of a system of that kind.",
    )
    search: SearchedOptions | None = Field(
        default=None,
        description="In place of members: kernel and linear systems whose streams, weights, widths, penalties and hidden "
        "states are chosen by inner speaker folds of what each view learns from.",
    )
    serve: bool = Field(
        default=True,
        description="Gate and serve the ensemble (pseudo-labels are then its own); off: it is only scored, and the one "
        "fusion of `fusion` is served.",
    )

    @field_validator("members")
    @classmethod
    def _plain_names(cls, value: dict[str, Options], info: ValidationInfo) -> dict[str, Options]:
        for name in value if not is_stored(info.context) else ():
            check_name(name, "name of a member")
        return value

    @model_validator(mode="after")
    def _members_or_a_search(self) -> EnsembleConfig:
        if self.search is not None and self.members:
            raise ValueError(
                f"expected `members` or `search`, found both ({', '.join(self.members)}); a searched system beside other members "
                "is one of them: `members: {NAME: {kind: searched}}`"
            )
        if self.search is None and len(self.members) < LEAST_MEMBERS:
            raise ValueError(
                f"members: expected at least {LEAST_MEMBERS}, found {len(self.members)}; name more, or `search: {{}}` in their "
                "place"
            )
        return self

    def without_streams(self, names: Collection[str]) -> EnsembleConfig | None:
        """A copy whose systems do not name these streams; None where none of them is left. Not validated."""
        if self.search is not None:
            streams = self.search.streams
            left = tuple(name for name in streams if name not in names)
            if streams and not left:
                return None
            return self.model_copy(update={"search": self.search.model_copy(update={"streams": left})})
        members = {name: _without(options, names) for name, options in self.members.items()}
        kept = {name: options for name, options in members.items() if options is not None}
        return self.model_copy(update={"members": kept}) if kept else None


def _without(options: Options, names: Collection[str]) -> Options | None:
    """The options of a member without these streams; None where it read no other."""
    left = dict(options)
    for option in STREAM_OPTIONS:
        if named := options.get(option):
            left[option] = (
                {name: value for name, value in named.items() if name not in names}
                if isinstance(named, dict)
                else [name for name in named if name not in names]
            )
            if option == STREAM_OPTIONS[0] and not left[option]:
                return None
    return left
