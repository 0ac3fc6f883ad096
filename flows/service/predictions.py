"""The form of several answers, and an example of one."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from mer.predictions import Prediction

EXAMPLE: dict[str, Any] = {
    "name": "greeting",
    "path": "greeting.mp4",
    "status": "ok",
    "probabilities": {
        "neutral": 0.06,
        "angry": 0.03,
        "happy": 0.81,
        "sad": 0.02,
        "worried": 0.03,
        "surprise": 0.05,
    },
    "discrete": "happy",
    "confidence": 0.81,
    "valence": 2.4,
    "modalities": ["acoustic", "visual", "lexical"],
    "flags": [],
    "model": "clips",
    "version": 3,
}


class Predictions(BaseModel):
    """Answers in the order of what was sent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    predictions: tuple[Prediction, ...] = Field(examples=[[EXAMPLE]])
