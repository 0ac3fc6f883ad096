"""Input of a stream's layer study: the hidden states of the encoder behind the stream. Imports no torch."""

from __future__ import annotations

from pydantic import ValidationError

from mer.errors import ConfigError
from mer.features.spec import CROPS_SOURCE, SOUND_SOURCE, FeatureSpec
from mer.layer_study.config import LayerStudyConfig
from mer.recipes.recipe import Recipe
from mer.recipes.stream import Stream


def states_to_study(recipe: Recipe, name: str) -> FeatureSpec:
    """Hidden states of the stream's encoder, pooled as its study says; pooling `frames`: every frame, for attention.

    A stream that reads several hidden states is studied on these, whatever the pooling: the place of the one that is chosen
    is its place among them; of any other stream all states are studied. Face crops are studied under the
    encoder that the alignment would train, as it is before that.

    Raises:
        ConfigError: no such stream, or one without an encoder, whose layers could be studied.
    """
    stream = recipe.stream(name)
    pooling, spec = stream.layer_study.pooling, stream.features
    several = has_states_to_choose(stream)
    if several and (pooling or spec.pooling) == spec.pooling != "frames":
        return spec
    return spec.model_copy(
        update={
            "source": _encoder(recipe, name, stream),
            "layers": spec.layers if several else "all",
            "reduce_layers": "stack",
            "pooling": _extracted(pooling, spec),
        }
    )


def has_states_to_choose(stream: Stream) -> bool:
    """Whether the features are several hidden states side by side, of which a study chooses the one that is read."""
    spec = stream.features
    return spec.layered and (spec.layers == "all" or len(spec.layers) > 1)


def has_layers(stream: Stream) -> bool:
    """Whether there is an encoder behind the stream, whose layers can be studied."""
    return stream.features.encoded or (stream.reads_crops and stream.trained_encoder is not None)


def _extracted(pooling: str | None, spec: FeatureSpec) -> str:
    if pooling is None:
        return "mean_std" if spec.pooling == "frames" or not spec.encoded else spec.pooling
    return "frames" if pooling == "attention" else pooling


def _encoder(recipe: Recipe, name: str, stream: Stream) -> str:
    spec = stream.features
    if spec.encoded:
        return spec.source
    if stream.reads_crops and stream.trained_encoder is not None:
        return stream.trained_encoder
    kinds = {CROPS_SOURCE: "face crops without an encoder", SOUND_SOURCE: "loudness and length"}
    what = kinds.get(spec.source, "precomputed features")
    raise ConfigError(
        f"layer study: stream {name} of recipe {recipe.name} has {what} ({spec.source}), which have no layers; expected a "
        f"source that is an encoder, e.g. `{name}: {{modality: {spec.modality}, features: {{source: <model folder>}}}}`"
    )


def with_study_pooling(recipe: Recipe, name: str, pooling: str) -> Recipe:
    """The recipe with another pooling in a stream's layer study; empty: as it is.

    Raises:
        ConfigError: no such stream, or no such pooling.
    """
    config = recipe.stream(name).layer_study
    if not pooling:
        return recipe
    try:
        changed = LayerStudyConfig.model_validate(config.model_dump() | {"pooling": pooling})
    except ValidationError as error:
        raise ConfigError(
            f"layer study: expected pooling mean_std, statistics or attention, found {pooling!r}"
        ) from error
    return recipe.with_stream(name, layer_study=changed)
