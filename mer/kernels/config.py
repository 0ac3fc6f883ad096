"""Options of the kinds `kernel`, `linear` and `searched`. Imports neither torch nor scikit-learn: recipes and forms read it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from mer.ensemble.bagged import BaggedSelection

MemberKind = Literal["kernel", "linear"]

_SMALLEST, _LARGEST = 1e-6, 1e6
"""Bounds of what a search chooses from."""


class StreamOptions(BaseModel):
    """What a member reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    streams: dict[str, float] = Field(
        default_factory=dict,
        description="Stream -> its weight (positive); none: every stream there is, alike.",
    )
    states: dict[str, tuple[int, int]] = Field(
        default_factory=dict,
        description="Stream -> first and last of the hidden states that are read (0 = the first that is stored); "
        "a stream that is not named: all.",
    )
    variants: bool = Field(
        default=True,
        description="Learn from all variants of a clip, and average answers over them; off: the clip as it is.",
    )
    folds: int = Field(
        default=5, ge=2, le=100, description="Inner folds by which temperature and penalty are fitted."
    )
    seed: int = Field(default=0, ge=0, description="Seed of the inner folds.")

    @field_validator("streams")
    @classmethod
    def _positive(cls, value: dict[str, float]) -> dict[str, float]:
        if wrong := {name: weight for name, weight in value.items() if not 0 < weight < float("inf")}:
            raise ValueError(f"expected positive weights, found {wrong}; leave a stream out instead")
        return value

    @field_validator("states")
    @classmethod
    def _ordered(cls, value: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        if wrong := {name: pair for name, pair in value.items() if not 0 <= pair[0] <= pair[1]}:
            raise ValueError(f"expected first and last hidden state, 0 or more, in order, found {wrong}")
        return value


class KernelOptions(StreamOptions):
    """One kernel ridge machine: `exp(-width / 2 * sum_s weight_s d_s)`, d_s the mean squared difference of stream s."""

    width: float = Field(
        default=0.5, gt=0.0, le=100.0, description="Sharpness of the kernel (1 / squared distance)."
    )
    penalty: float | None = Field(
        default=None,
        gt=0.0,
        le=1e6,
        description="Added to the kernel's diagonal, which is 1; none: .05, and .1 where clips come in variants.",
    )


class LinearOptions(StreamOptions):
    """One multinomial logistic regression on the standardised features side by side."""

    inverse_penalty: float | None = Field(
        default=None,
        gt=0.0,
        le=1e6,
        description="`C` of scikit-learn, one variant of each clip; none: of the written list, by inner folds.",
    )
    iterations: int = Field(default=1000, ge=1, le=100_000, description="Most steps of the solver.")


class SearchedOptions(BaseModel):
    """An ensemble chosen by inner folds of the clips that it learns from; `mer.kernels.grid` is the list it chooses from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    streams: tuple[str, ...] = Field(
        default=(), description="Streams that members may read; none named: every stream there is."
    )
    kinds: tuple[MemberKind, ...] = Field(
        default=("kernel", "linear"), min_length=1, description="Kinds of members."
    )
    weights: tuple[float, ...] = Field(
        default=(0.0, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0),
        min_length=1,
        description="Weights of a stream in the squared distance; 0: it is not read.",
    )
    widths: tuple[float, ...] = Field(
        default=(0.1, 0.25, 0.5, 1.0, 2.0), min_length=1, description="Sharpness of the kernel."
    )
    penalties: tuple[float, ...] = Field(
        default=(0.02, 0.05, 0.1, 0.2, 0.5, 1.0), min_length=1, description="Ridge penalties of the kernels."
    )
    inverse_penalties: tuple[float, ...] = Field(
        default=(0.0001, 0.001, 0.01, 0.1, 1.0, 10.0),
        min_length=1,
        description="`C` of the logistic regressions.",
    )
    variants: bool = Field(default=True, description="Members may learn from all variants of a clip.")
    folds: int = Field(default=5, ge=2, le=100, description="Inner folds, whole speakers each.")
    seed: int = Field(default=0, ge=0, description="Seed of the inner folds and of draws.")
    selection: BaggedSelection = Field(
        default_factory=BaggedSelection, description="How the members' weights are selected."
    )
    compared: int = Field(
        default=1500,
        ge=50,
        le=20_000,
        description="Most clips on which candidates are compared; members learn from all.",
    )

    @field_validator("weights", "widths", "penalties", "inverse_penalties")
    @classmethod
    def _ascending(cls, value: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
        least, most = (0.0, _LARGEST) if info.field_name == "weights" else (_SMALLEST, _LARGEST)
        if wrong := [one for one in value if not least <= one <= most]:
            raise ValueError(f"expected numbers from {least:g} to {most:g}, found {wrong}")
        return tuple(sorted(set(value)))
