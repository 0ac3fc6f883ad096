"""What the layer study of a stream reads: the hidden states of whichever encoder stands behind it. Imports no torch."""

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
    own: FeatureSpec = getattr(recipe, stream).features
    if own.layered and (pooling or own.pooling) == own.pooling != "frames":
        return own
    return own.model_copy(
        update={
            "source": _encoder(recipe, stream, own),
            "layers": "all",
            "reduce_layers": "stack",
            "pooling": _extracted(pooling, own),
        }
    )


def _extracted(pooling: str | None, own: FeatureSpec) -> str:
    if pooling is None:
        return "mean_std" if own.pooling == "frames" or not own.encoded else own.pooling
    return "frames" if pooling == "attention" else pooling


def _encoder(recipe: Recipe, stream: str, own: FeatureSpec) -> str:
    if own.encoded:
        return own.source
    trained = (
        recipe.visual.encoder if isinstance(recipe.visual, VisualStream) and stream == "visual" else None
    )
    if own.source == CROPS_SOURCE and trained is not None:
        return trained
    what = "face crops without an encoder" if own.source == CROPS_SOURCE else "precomputed features"
    raise ConfigError(
        f"layer study: stream {stream} of recipe {recipe.name} has {what} ({own.source}), which have no layers; expected a "
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
    own = getattr(recipe, stream).model_copy(update={"layer_study": changed})
    return recipe.model_copy(update={stream: own})
