"""The face detectors that a recipe's streams name. Settled once, where the recipe is loaded (`mer.media.detector_choice`)."""

from __future__ import annotations

from collections.abc import Callable

from mer.media.detector_choice import AUTO
from mer.recipes.recipe import Recipe


def named_detectors(recipe: Recipe) -> tuple[str, ...]:
    """Detectors that the recipe's streams run, each once, in the order of the streams."""
    names = (stream.features.detector for stream in recipe.streams.values())
    return tuple(dict.fromkeys(name for name in names if name is not None))


def with_settled_detectors(recipe: Recipe, settle: Callable[[str], str]) -> Recipe:
    """A copy in which every detector is what `settle` makes of its name.

    Raises:
        ConfigError, WeightsError: as `settle` does.
    """
    for name, stream in recipe.streams.items():
        detector = stream.features.detector
        if detector is None:
            continue
        if (settled := settle(detector)) != detector:
            recipe = recipe.with_stream(name, features=stream.features.with_detector(settled))
    return recipe


def quality_detector(recipe: Recipe) -> str:
    """The detector by which quality is measured: the one of the recipe's crops, else `auto`."""
    return next(iter(named_detectors(recipe)), AUTO)
