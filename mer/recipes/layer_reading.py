"""Input of a stream's layer study: the hidden states of the encoder behind the stream. Imports no torch."""

from __future__ import annotations

from pydantic import ValidationError

from mer.errors import ConfigError
from mer.features.spec import CROPS_SOURCE, FeatureSpec
from mer.layer_study.config import LayerStudyConfig
from mer.recipes.recipe import Recipe, VisualStream


def layer_study_of(recipe: Recipe, stream: str) -> LayerStudyConfig:
    """Options of a stream's layer study.

    Raises:
        ConfigError: the recipe has no such stream.
    """
    if stream not in recipe.streams:
        raise ConfigError(
            f"layer study: expected one of {', '.join(recipe.streams)} (streams of recipe {recipe.name}), found {stream!r}"
        )
    config: LayerStudyConfig = getattr(recipe, stream).layer_study
    return config


def states_to_study(recipe: Recipe, stream: str) -> FeatureSpec:
    """All hidden states of the stream's encoder, pooled as its study says; pooling `frames`: every frame, for attention.

    A speech stream that already reads all its hidden states is studied on those very features. Face crops are studied under the
    encoder that the alignment would train, as it is before that.

    Raises:
        ConfigError: no such stream, or one without an encoder, whose layers could be studied.
    """
    pooling = layer_study_of(recipe, stream).pooling
    spec: FeatureSpec = getattr(recipe, stream).features
    if spec.layered and (pooling or spec.pooling) == spec.pooling != "frames":
        return spec
    return spec.model_copy(
        update={
            "source": _encoder(recipe, stream, spec),
            "layers": "all",
            "reduce_layers": "stack",
            "pooling": _extracted(pooling, spec),
        }
    )


def _extracted(pooling: str | None, spec: FeatureSpec) -> str:
    if pooling is None:
        return "mean_std" if spec.pooling == "frames" or not spec.encoded else spec.pooling
    return "frames" if pooling == "attention" else pooling


def _encoder(recipe: Recipe, stream: str, spec: FeatureSpec) -> str:
    if spec.encoded:
        return spec.source
    trained = (
        recipe.visual.encoder if isinstance(recipe.visual, VisualStream) and stream == "visual" else None
    )
    if spec.source == CROPS_SOURCE and trained is not None:
        return trained
    what = "face crops without an encoder" if spec.source == CROPS_SOURCE else "precomputed features"
    raise ConfigError(
        f"layer study: stream {stream} of recipe {recipe.name} has {what} ({spec.source}), which have no layers; expected a "
        f"source that is an encoder, e.g. `{stream}: {{features: {{modality: {stream}, source: <model folder>, layers: all}}}}`"
    )


def with_study_pooling(recipe: Recipe, stream: str, pooling: str) -> Recipe:
    """The recipe with another pooling in a stream's layer study; empty: as it is.

    Raises:
        ConfigError: no such stream, or no such pooling.
    """
    config = layer_study_of(recipe, stream)
    if not pooling:
        return recipe
    try:
        changed = LayerStudyConfig.model_validate(config.model_dump() | {"pooling": pooling})
    except ValidationError as error:
        raise ConfigError(
            f"layer study: expected pooling mean_std, statistics or attention, found {pooling!r}"
        ) from error
    stream_options = getattr(recipe, stream).model_copy(update={"layer_study": changed})
    return recipe.model_copy(update={stream: stream_options})
