"""Options of labels with several annotators. Imports no numpy: recipes and forms read it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class LabelsConfig(BaseModel):
    """What is learnt of clips on which several people voted, or of which a reviewer named several emotions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    targets: Literal["hard", "soft"] = Field(
        default="hard",
        description="Learn the class with most votes alone, or the distribution of the votes over classes (fusions and the "
        "kernel and logistic machines; other stages and all scores read the class). A clip where two classes tie is unlabelled.",
    )
