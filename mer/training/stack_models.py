"""Fusion models in stacked form: every parameter has a leading axis of K models, every product is batched.

A stacked model is the stacked twin of a `FusionModel`: the same parameters under the same names, linear weights
transposed to (K, in, out). Dropout is asked for by place: the engine draws it, so that a model's masks do not depend on
its neighbours. The baseline is known (MERTools, see `mer.fusion.attention`); its stacking is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor

from mer.errors import ConfigError
from mer.fusion.config import FusionConfig
from mer.fusion.interface import FusionShape, build_fusion
from mer.training.seeded import initialise
from mer.training.stack_data import StackBatch

Parameters = Mapping[str, Tensor]


class StackedDropout:
    """The dropout of one step of K models.

    Args:
        kept: one entry a place, (K, B, width) bool.
        scale: (K, 1, 1) 1 / (1 - probability).
    """

    def __init__(self, kept: tuple[Tensor, ...], scale: Tensor) -> None:
        self._kept = kept
        self.scale = scale

    def __call__(self, place: int, values: Tensor) -> Tensor:
        """(K or 1, B, width) with dropped values 0; the kept ones are NOT scaled up: multiply by `scale` later.

        Scaling the product with the weights is the same and touches fewer numbers.
        """
        return values * self._kept[place]


class StackedModel(Protocol):
    """What the training engine needs of a kind of model."""

    @property
    def dropout_widths(self) -> tuple[int, ...]:
        """Width of every place where the model drops values."""
        ...

    def initial(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Parameters of one model, as the twin initialises them."""
        ...

    def forward(
        self, parameters: Parameters, batch: StackBatch, dropout: StackedDropout | None
    ) -> tuple[Tensor, Tensor]:
        """Emotion logits (K, B, C) and valence (K, B); without `dropout` as in prediction."""
        ...

    def state_dict(self, parameters: Parameters) -> dict[str, Tensor]:
        """Parameters of one model (no leading axis) as the twin's `state_dict`."""
        ...


class _FusionTwin:
    """Initialisation and naming shared by the stacked twins of fusion models."""

    def __init__(self, shape: FusionShape, config: FusionConfig) -> None:
        self.shape = shape
        self.hidden = config.hidden
        self.streams = tuple(shape.widths)
        self._config = config

    def initial(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Parameters of one model; the draws are those of `mer.fusion.fit`."""
        twin = build_fusion(self.shape, self._config)
        initialise(twin, generator)
        return {name: _turned(value.detach()) for name, value in twin.state_dict().items()}

    def state_dict(self, parameters: Parameters) -> dict[str, Tensor]:
        """Linear weights as (out, in)."""
        return {name: _turned(value.detach()) for name, value in parameters.items()}


class StackedAttention(_FusionTwin):
    """`mer.fusion.attention.AttentionFusion`, K at a time.

    Args:
        shape: widths of the streams (M of them) and number of classes.
        config: hidden width.
        softmax: normalise the weights over the present streams; the baseline does not.
    """

    def __init__(self, shape: FusionShape, config: FusionConfig, *, softmax: bool) -> None:
        super().__init__(shape, config)
        self.softmax = softmax

    @property
    def dropout_widths(self) -> tuple[int, ...]:
        """Every stream's input, then the attention's."""
        return (*self.shape.widths.values(), self.hidden * len(self.streams))

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
        return _heads(parameters, fused)


class StackedConcat(_FusionTwin):
    """`mer.fusion.concat.ConcatFusion`, K at a time."""

    @property
    def dropout_widths(self) -> tuple[int, ...]:
        """Every stream's input, then the hidden layer."""
        return (*self.shape.widths.values(), self.hidden)

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
        return _heads(parameters, fused)


Builder = Callable[[FusionShape, FusionConfig], StackedModel]
_BUILDERS: dict[str, Builder] = {
    "attention": lambda shape, config: StackedAttention(shape, config, softmax=False),
    "attention_softmax": lambda shape, config: StackedAttention(shape, config, softmax=True),
    "concat": StackedConcat,
}


def register_stacked(name: str, builder: Builder) -> None:
    """Make a stacked twin known under the name of its fusion model."""
    _BUILDERS[name] = builder


def stackable(name: str) -> bool:
    """Whether the fusion model of this name can be trained in a stack."""
    return name in _BUILDERS


def build_stacked(shape: FusionShape, config: FusionConfig) -> StackedModel:
    """The stacked twin of the model that `config.model` names.

    Raises:
        ConfigError: that model has none.
    """
    if config.model not in _BUILDERS:
        raise ConfigError(
            f"fusion model {config.model!r} cannot be trained in a stack: expected one of {', '.join(sorted(_BUILDERS))}; "
            "give it a stacked form with register_stacked, or train it alone"
        )
    return _BUILDERS[config.model](shape, config)


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


def _heads(parameters: Parameters, fused: Tensor) -> tuple[Tensor, Tensor]:
    return _linear(parameters, "emotion", fused), _linear(parameters, "valence", fused).squeeze(2)


def _turned(value: Tensor) -> Tensor:
    # a copy in any case: `contiguous` alone would hand out the live weights of a head with one output
    return (value.T if value.dim() == 2 else value).clone(memory_format=torch.contiguous_format)
