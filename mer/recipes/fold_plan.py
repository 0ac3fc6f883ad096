"""How a recipe deals clips to folds."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class FoldPlan(BaseModel):
    """Evaluation protocol: outer speaker-independent folds, and validation speakers inside the training folds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int = Field(
        default=5, ge=2, le=20, description="Number of outer folds, where the corpus publishes none."
    )
    use_published: bool = Field(
        default=True, description="Use the corpus' own `fold` column when it has one."
    )
    validation_share: float = Field(
        default=0.2,
        gt=0.0,
        lt=0.5,
        description="Share of training clips (whole speakers) held out to choose by.",
    )
    seed: int = Field(default=7, ge=0, description="Seed of the fold assignment.")
