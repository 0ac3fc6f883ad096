"""Options of the log-posteriors of adapted blocks (`mer.adaptation.cross_fit`). Imports no torch: recipes read it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class AdaptedPosteriors(BaseModel):
    """How adapters are cross-fitted over inner folds of a view's labelled speakers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folds: int = Field(
        default=4,
        ge=2,
        le=20,
        description="Inner folds of whole speakers; an adapter is fitted without each, with each seed.",
    )
    seeds: int = Field(
        default=1,
        ge=1,
        le=20,
        description="Fits of each fold, from different seeds; their log-posteriors are averaged.",
    )
