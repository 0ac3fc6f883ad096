"""What code a registered version runs to read clips, for the keys of the stages that read clips with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mer.encoders.families import encoder_implementations
from mer.features.layered import layer_implementations
from mer.features.readers import reader_implementations
from mer.predictor.package import ModelPackage
from mer.recipes.systems import served_choices
from tasks.learn.implementations import choice_implementations

if TYPE_CHECKING:
    from mer.encoders.weights import ResolvedWeights


def package_implementations(
    package: ModelPackage, resolve: Callable[[str], ResolvedWeights]
) -> tuple[str, ...]:
    """`module:attribute` of what the version's recipe chose: readers and encoders of its streams, and its systems.

    Args:
        package: record of the version.
        resolve: weights of a source (`mer.encoders.weights.resolve_weights`).

    Raises:
        ConfigError, WeightsError: weights of a stream are not here.
    """
    systems = [one for choice in served_choices(package.recipe) for one in choice_implementations(choice)]
    return tuple(dict.fromkeys([*systems, *_of_streams(package, resolve)]))


def _of_streams(package: ModelPackage, resolve: Callable[[str], ResolvedWeights]) -> Iterator[str]:
    for name in package.recipe.reads:
        stream, served = package.recipe.streams[name], package.served(name)
        for spec in dict.fromkeys((stream.features, stream.unaligned_features)):
            if spec is not None:
                yield from reader_implementations(spec, resolve(spec.source))
        if served.adapter is not None:
            yield from layer_implementations(stream.features, resolve(stream.features.source))
        if served.alignment is not None and stream.trained_encoder is not None:
            yield from encoder_implementations(stream.modality, resolve(stream.trained_encoder))
