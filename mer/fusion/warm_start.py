"""Going on from a fitted model: what it must share with the new fit, and what is taken from it.

A round of self-training may go on from the round before instead of starting from scratch. Its parameters fit features as the
first fit standardised them, so mean and scale come with them: a feature that did not vary there stays out. The optimiser, the
running average and the choice of the epoch start anew; the model that is started from is not among the epochs to choose from.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from torch import Tensor

from mer.errors import ConfigError
from mer.fusion.config import STRUCTURE, FusionConfig
from mer.fusion.fitted import FittedFusion
from mer.fusion.model import FusionModel
from mer.fusion.streams import Standardisation


def taken_standardisation(
    start: FittedFusion, streams: Collection[str], classes: Sequence[str], config: FusionConfig
) -> Mapping[str, Standardisation]:
    """Mean and scale of every stream of the model to start from, in its order.

    Args:
        start: the fitted model.
        streams: names of the streams to train on.
        classes: class names in index order.
        config: options of the new fit.

    Raises:
        ConfigError: other classes, streams or structure than the model has.
    """
    differing = {
        name: (getattr(start.config, name), getattr(config, name))
        for name in STRUCTURE
        if getattr(start.config, name) != getattr(config, name)
    }
    if tuple(classes) != tuple(start.classes):
        differing["classes"] = (list(start.classes), list(classes))
    if set(streams) != set(start.widths):
        differing["streams"] = (sorted(start.widths), sorted(streams))
    if differing:
        differences = "; ".join(
            f"{name} {trained!r}, found {new!r}" for name, (trained, new) in differing.items()
        )
        raise ConfigError(f"fusion: expected what the model to start from was trained with: {differences}")
    return {name: start.standardisation[name] for name in start.widths}


def take_parameters(model: FusionModel, tensors: Mapping[str, Tensor]) -> None:
    """Set the parameters of `model`.

    Args:
        model: of the structure they were trained in.
        tensors: parameters by name.

    Raises:
        ConfigError: other names or shapes than the model has.
    """
    model_shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    start_shapes = {name: tuple(value.shape) for name, value in tensors.items()}
    if wrong := sorted(
        name
        for name in model_shapes.keys() | start_shapes.keys()
        if model_shapes.get(name) != start_shapes.get(name)
    ):
        raise ConfigError(
            f"fusion: expected parameters to start from of the model's own names and shapes, found {len(wrong)} others, first "
            f"{wrong[0]}: {model_shapes.get(wrong[0])} here, {start_shapes.get(wrong[0])} there"
        )
    model.load_state_dict(dict(tensors))
