"""Answers for features that a client extracted itself."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from mer.library.given_features import given_posteriors
from mer.predictions import Evidence, Prediction
from tasks.serve.served_model import ServedModel

_LARGEST = 3e38
Number = Annotated[float, Field(allow_inf_nan=False)]
Vector = Annotated[list[Number], Field(min_length=1, max_length=65_536)]
Frames = Annotated[list[Vector], Field(min_length=1, max_length=20_000)]


class FeatureClip(BaseModel):
    """One clip's features."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=200, description="What the answer calls the clip.")
    features: dict[str, Vector | Frames] = Field(
        min_length=1,
        max_length=64,
        description="Stream -> its vector (D), or its frames (T, D); a stream that is left out is missing. Names and widths are "
        "those that the model was trained on.",
    )

    @field_validator("features")
    @classmethod
    def _rectangular(cls, features: dict[str, Vector | Frames]) -> dict[str, Vector | Frames]:
        for name, values in features.items():
            rows = [row for row in values if isinstance(row, list)]
            numbers = [number for row in rows for number in row] + [
                number for number in values if not isinstance(number, list)
            ]
            if len({len(row) for row in rows}) > 1:
                raise ValueError(f"stream {name[:60]}: expected frames of one width")
            if not all(abs(number) < _LARGEST for number in numbers):
                raise ValueError(f"stream {name[:60]}: expected numbers that fit into 32 bits")
        return features


class FeatureClips(BaseModel):
    """Features of some clips."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"example": {"clips": [{"name": "a", "features": {"acoustic": [0.1, -0.2, 0.3]}}]}},
    )

    clips: Annotated[list[FeatureClip], Field(min_length=1, max_length=1024)]


def predict_given(model: ServedModel, given: FeatureClips) -> tuple[Prediction, ...]:
    """Predictions in the order of the clips; nothing is known of what the features were extracted from, so nothing is flagged.

    Raises:
        ConfigError: streams or widths other than the model was trained on.
    """
    streams = list(dict.fromkeys(name for clip in given.clips for name in clip.features))
    features = {name: [clip.features.get(name) for clip in given.clips] for name in streams}
    predictor = model.predictor
    posteriors = given_posteriors(predictor.system, features)
    shares = posteriors.probabilities(predictor.package.temperature)
    return tuple(
        model.signed(
            Prediction.of_answer(
                (clip.name, clip.name),
                dict(zip(model.emotions, shares[row].tolist(), strict=True)),
                float(posteriors.valence[row]),
                Evidence(tuple(clip.features), ()),
                (model.name, model.version),
            )
        )
        for row, clip in enumerate(given.clips)
    )
