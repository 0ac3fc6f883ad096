"""Stacked twins by name: those of models on vectors written by hand, all others made by `mer.stack.mapped`.

By hand, linear weights are transposed to (K, in, out) and dropout's scale goes on the narrow product: faster on wide
inputs. The baseline is known (MERTools, see `mer.fusion.models.attention`); its stacking is ours.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mer.errors import ConfigError
from mer.fusion.config import BUILT_IN_MODELS, FusionConfig
from mer.fusion.interface import FusionShape, build_fusion
from mer.fusion.registry import model_names
from mer.stack.batch import StackBatch
from mer.stack.dropout import Place, StackedDropout
from mer.stack.mapped import StackedFusion
from mer.stack.twin import Parameters, StackedModel, started


class _FusionTwin:
    """Initialisation and naming shared by the hand-written twins, of models that read vectors."""

    reads_frames = False

    def __init__(self, shape: FusionShape, config: FusionConfig) -> None:
        self.shape = shape
        self.hidden = config.hidden
        self.streams = tuple(shape.widths)
        self._trains_posteriors = config.posterior_gradient

    def initial(
        self,
        generator: torch.Generator,
        emotion: NDArray[np.int64],
        valence: NDArray[np.floating],
        config: FusionConfig,
    ) -> dict[str, Tensor]:
        """As `started`, linear weights turned."""
        twin = started(build_fusion(self.shape, config), generator, emotion, valence, config)
        return {name: _turned(value.detach()) for name, value in twin.state_dict().items()}

    def state_dict(self, parameters: Parameters) -> dict[str, Tensor]:
        """Linear weights as (out, in)."""
        return {name: _turned(value.detach()) for name, value in parameters.items()}


class StackedAttention(_FusionTwin):
    """`mer.fusion.models.attention.AttentionFusion`, K at a time.

    Args:
        shape: widths of the streams (M of them) and number of classes.
        config: hidden width.
        softmax: normalise the weights over the present streams; the baseline does not.
    """

    def __init__(self, shape: FusionShape, config: FusionConfig, *, softmax: bool) -> None:
        super().__init__(shape, config)
        self.softmax = softmax

    @property
    def places(self) -> tuple[Place, ...]:
        """Every stream's input, then the attention's."""
        return tuple(map(Place, (*self.shape.widths.values(), self.hidden * len(self.streams))))

    def forward(
        self, parameters: Parameters, batch: StackBatch, dropout: StackedDropout | None
    ) -> tuple[Tensor, Tensor]:
        """As `AttentionFusion.fuse`."""
        hidden = [
            _encoder(parameters, f"encoders.{name}", batch.values[name], dropout, place) * batch.present[name]
            for place, name in enumerate(self.streams)
        ]  # M x (K, B, hidden)
        beside = torch.cat(hidden, dim=2)
        raised = _encoder(parameters, "attention", beside, dropout, len(self.streams))
        weights = _linear(parameters, "weigh", raised)  # (K, B, M)
        present = torch.cat([batch.present[name] for name in self.streams], dim=2)
        if self.softmax:
            weights = torch.softmax(weights.masked_fill(present == 0, -1e9), dim=2)
        weights = weights * present
        fused = sum(
            (weights[:, :, m, None] * hidden[m] for m in range(1, len(hidden))), weights[:, :, :1] * hidden[0]
        )
        return _heads(parameters, fused, self._trains_posteriors)


class StackedConcat(_FusionTwin):
    """`mer.fusion.models.concat.ConcatFusion`, K at a time."""

    @property
    def places(self) -> tuple[Place, ...]:
        """Every stream's input, then the hidden layer."""
        return tuple(map(Place, (*self.shape.widths.values(), self.hidden)))

    def forward(
        self, parameters: Parameters, batch: StackBatch, dropout: StackedDropout | None
    ) -> tuple[Tensor, Tensor]:
        """As `ConcatFusion.fuse`."""
        dropped = [
            batch.values[name] if dropout is None else dropout(place, batch.values[name])
            for place, name in enumerate(self.streams)
        ]
        scale = None if dropout is None else dropout.scale
        fused = torch.relu(_linear(parameters, "body.1", torch.cat(dropped, dim=2), scale))
        if dropout is not None:
            fused = dropout(len(self.streams), fused) * dropout.scale
        return _heads(parameters, fused, self._trains_posteriors)


Builder = Callable[[FusionShape, FusionConfig], StackedModel]
_BUILDERS: dict[str, Builder] = {
    "attention": lambda shape, config: StackedAttention(shape, config, softmax=False),
    "attention_softmax": lambda shape, config: StackedAttention(shape, config, softmax=True),
    "concat": StackedConcat,
}


def register_stacked(name: str, builder: Builder) -> None:
    """Make a stacked twin known under the name of its fusion model."""
    _BUILDERS[name] = builder


def stackable_models() -> tuple[str, ...]:
    """Every built-in fusion model, and those of installed packages that can be stacked as they are; loads the latter."""
    small = FusionShape({"acoustic": 2, "visual": 2}, 2)
    found = list(BUILT_IN_MODELS)
    for name in model_names()[len(BUILT_IN_MODELS) :]:
        with suppress(ConfigError):
            build_stacked(small, FusionConfig(model=name, hidden=4))
            found.append(name)
    return tuple(found)


def build_stacked(shape: FusionShape, config: FusionConfig) -> StackedModel:
    """The stacked twin of the model that `config.model` names: written by hand where there is one, else made of the model.

    Raises:
        ConfigError: that model has none by hand, and is not one that can be stacked as it is.
    """
    if config.model in _BUILDERS:
        return _BUILDERS[config.model](shape, config)
    return StackedFusion(shape, config)


def _encoder(
    parameters: Parameters, name: str, values: Tensor, dropout: StackedDropout | None, place: int
) -> Tensor:
    """The baseline's MLP: (K or 1, B, width) -> (K, B, hidden)."""
    dropped = values if dropout is None else dropout(place, values)
    first = torch.relu(_linear(parameters, f"{name}.1", dropped, None if dropout is None else dropout.scale))
    return torch.relu(_linear(parameters, f"{name}.5", torch.relu(_linear(parameters, f"{name}.3", first))))


def _linear(parameters: Parameters, name: str, values: Tensor, scale: Tensor | None = None) -> Tensor:
    """(K or 1, B, in) -> (K, B, out); `scale` multiplies the product, not the bias."""
    weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"][:, None, :]
    inputs = values.expand(len(weight), -1, -1)
    if scale is None:
        return torch.baddbmm(bias, inputs, weight)
    return torch.addcmul(bias, torch.bmm(inputs, weight), scale)


def _heads(parameters: Parameters, fused: Tensor, trains_posteriors: bool) -> tuple[Tensor, Tensor]:
    """As `FusionModel.decode`."""
    logits = _linear(parameters, "emotion", fused)
    if "class_valence" not in parameters:
        return logits, _linear(parameters, "valence", fused).squeeze(2)
    posteriors = torch.softmax(logits if trains_posteriors else logits.detach(), dim=2)
    of_classes = parameters["posterior_valence.weight"] + parameters["class_valence"][:, :, None]  # (K, C, 1)
    own = torch.bmm(fused, parameters["valence.weight"])
    return logits, (own + torch.bmm(posteriors, of_classes)).squeeze(2)


def _turned(value: Tensor) -> Tensor:
    # a copy in any case: `contiguous` alone would hand out the live weights of a head with one output
    return (value.T if value.dim() == 2 else value).clone(memory_format=torch.contiguous_format)
