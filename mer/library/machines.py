"""Which model a `Fusion` is that was given none, and the options of those that are no networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from mer.errors import ConfigError
from mer.fusion.config import FusionConfig
from mer.kernels.config import KernelOptions, LinearOptions, SearchedOptions
from mer.library.options import validated

MACHINES: Mapping[str, type[BaseModel]] = {
    "searched": SearchedOptions,
    "kernel": KernelOptions,
    "linear": LinearOptions,
}
"""Model -> its options: those that are kinds of systems by themselves and no networks."""
DEFAULT, DEFAULT_NETWORK = "searched", "concat"


def model_or_default(
    model: str | Callable[..., Any] | None, level: str | None, options: Mapping[str, Any]
) -> str | Callable[..., Any]:
    """The model; where none is given the searched one, or `concat` where an option says that a network is meant.

    Args:
        model: as given.
        level: as given; only networks read frame by frame.
        options: as given.
    """
    if model is not None:
        return model
    searched = level in (None, "utterance") and all(name in SearchedOptions.model_fields for name in options)
    return DEFAULT if searched else DEFAULT_NETWORK


def machine_options(model: str, level: str | None, options: Mapping[str, Any]) -> BaseModel:
    """Options of a model that is no network.

    Raises:
        ConfigError: unknown options or values out of range; frame by frame.
    """
    if level not in (None, "utterance"):
        raise ConfigError(
            f"Fusion: expected vectors, as {model!r} reads them, found level={level!r}; leave it out (frames are averaged), or "
            "name a network: Fusion('attention', level='frames')"
        )
    for name in options:
        if name in FusionConfig.model_fields and name not in MACHINES[model].model_fields:
            raise ConfigError(
                f"Fusion: {name!r} is an option of networks, and {model!r} is none; name one: Fusion('concat', {name}=...)"
            )
    return validated(MACHINES[model], f"Fusion({model!r})", options)
