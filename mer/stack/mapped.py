"""The stacked twin of any fusion model: its own `fuse`, called on parameters that are passed in, for K models at once.

K models are mapped with `torch.func.vmap`: one batched operation in place of K. Where a model's control flow cannot be
mapped (it depends on values), and for a single model, `fuse` is called a model at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, vmap

from mer.errors import ConfigError
from mer.fusion.config import FusionConfig
from mer.fusion.interface import FusionModel, FusionShape, build_fusion
from mer.fusion.models.masked_attention import MaskedAttention
from mer.stack.batch import StackBatch
from mer.stack.dropout import Place, StackedDropout, dropped
from mer.stack.twin import Parameters, started
from mer.training.seeding import SeededDropout

Answers = tuple[Tensor, Tensor]
_PROBED_DROPOUT = 0.375
_PROBED_CLIPS = 3


class _Fuse(nn.Module):
    """A model whose call is `fuse`: the engine's batches are masked already."""

    def __init__(self, model: FusionModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, values: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Answers:
        """(B, C) logits and (B,) valence."""
        output = self.model.fuse(values, masks)
        return output.emotion_logits, output.valence


class StackedFusion:
    """Any fusion model that keeps to the contract of `FusionModel`, K at a time.

    Args:
        shape: widths of the streams and number of classes.
        config: what the model is built with; only its dropout may differ between the models of a stack.

    Raises:
        ConfigError: a model that draws by itself, mixes the clips of a batch, or drops values at a place whose shape is not
            that of clips or of streams' frames.
    """

    def __init__(self, shape: FusionShape, config: FusionConfig) -> None:
        self.shape, self._config = shape, config
        probed = build_fusion(shape, config.model_copy(update={"dropout": _PROBED_DROPOUT}))
        _check(probed, config.model)
        self.reads_frames = probed.reads_frames
        self._fuse = _Fuse(probed)
        for part in probed.modules():
            if isinstance(part, MaskedAttention):
                part.fused = False
        self._dropouts = [part for part in probed.modules() if isinstance(part, SeededDropout)]
        self.places = self._probe()
        self._maps = self._is_mapped()

    def initial(
        self,
        generator: torch.Generator,
        emotion: NDArray[np.int64],
        valence: NDArray[np.floating],
        config: FusionConfig,
    ) -> dict[str, Tensor]:
        """As `started`."""
        model = started(build_fusion(self.shape, config), generator, emotion, valence, config)
        return {name: value.detach().clone() for name, value in model.named_parameters()}

    def state_dict(self, parameters: Parameters) -> dict[str, Tensor]:
        """A copy; names and shapes are the model's."""
        return {name: value.detach().clone() for name, value in parameters.items()}

    def forward(self, parameters: Parameters, batch: StackBatch, dropout: StackedDropout | None) -> Answers:
        """As `FusionModel.forward` of each model."""
        count = len(next(iter(parameters.values())))
        own = {f"model.{name}": value for name, value in parameters.items()}
        drawn: tuple[Tensor, ...] = ()
        levels: tuple[Tensor, ...] = ()
        if dropout is not None:
            drawn, levels = dropout.drawn, (dropout.threshold, dropout.scales)
        self._fuse.train(dropout is not None)
        if count > 1 and self._maps:
            arguments = (own, dict(batch.values), dict(batch.present), drawn, levels)
            axes = tuple(_axes(argument) for argument in arguments)
            shared = tuple(_shared(argument, axis) for argument, axis in zip(arguments, axes, strict=True))
            logits, valence = vmap(self._one, in_dims=axes)(*shared)
            return logits, valence
        each = [
            self._one(
                {name: _of(value, k) for name, value in own.items()},
                {name: _of(value, k) for name, value in batch.values.items()},
                {name: _of(value, k) for name, value in batch.present.items()},
                tuple(_of(value, k) for value in drawn),
                tuple(value[k] for value in levels),
            )
            for k in range(count)
        ]
        return torch.stack([logits for logits, _ in each]), torch.stack([valence for _, valence in each])

    def _one(
        self,
        parameters: Mapping[str, Tensor],
        values: Mapping[str, Tensor],
        masks: Mapping[str, Tensor],
        drawn: Sequence[Tensor],
        levels: Sequence[Tensor],
    ) -> Answers:
        """One model; dropout's places take the masks in the order of use."""
        masked = iter(drawn)

        def drop(own: Tensor) -> Tensor:
            return dropped(own, next(masked), *levels) if drawn else own

        with self._dropping(drop):
            answers: Answers = functional_call(self._fuse, dict(parameters), (values, masks))
        return answers

    @contextmanager
    def _dropping(self, drop: object) -> Iterator[None]:
        for part in self._dropouts:
            part.drop = drop  # type: ignore[assignment]
        try:
            yield
        finally:
            for part in self._dropouts:
                part.drop = None

    def _probe(self) -> tuple[Place, ...]:
        """Where the model drops values, found by calling it on clips whose streams have telling numbers of frames."""
        streams = list(self.shape.widths)
        found = [
            self._places_seen({name: 2 << i for i, name in enumerate(own)})
            for own in (streams, streams[::-1])
        ]
        if found[0] != found[1]:
            raise _refusal(
                self._config.model,
                "it drops values at a place whose frames are not those of streams one after the other",
            )
        return found[0]

    def _places_seen(self, frames: Mapping[str, int]) -> tuple[Place, ...]:
        found: list[Place] = []

        def look(values: Tensor) -> Tensor:
            if values.dim() == 2 and len(values) == _PROBED_CLIPS:
                found.append(Place(values.shape[1]))
            elif values.dim() == 3 and len(values) == _PROBED_CLIPS:
                own = tuple(name for name, count in frames.items() if values.shape[1] & count)
                found.append(Place(values.shape[2], own if self.reads_frames else None))
            else:
                raise _refusal(self._config.model, f"it drops values of shape {tuple(values.shape)}")
            return values

        with torch.no_grad(), self._dropping(look):
            self._fuse.train()
            self._fuse(*self._made(frames))
        return tuple(Place(own.width, _sorted(own.streams, self.shape)) for own in found)

    def _made(self, frames: Mapping[str, int]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        axes = {
            name: (_PROBED_CLIPS, count) if self.reads_frames else (_PROBED_CLIPS,)
            for name, count in frames.items()
        }
        values = {name: torch.ones(*axis, self.shape.widths[name]) for name, axis in axes.items()}
        return values, {name: torch.ones(*axis, 1) for name, axis in axes.items()}

    def _is_mapped(self) -> bool:
        values, masks = self._made(dict.fromkeys(self.shape.widths, 2))
        two = {name: torch.stack([own.detach()] * 2) for name, own in self._fuse.named_parameters()}
        call = partial(self._one, values=values, masks=masks, drawn=(), levels=())
        try:
            with torch.no_grad():
                vmap(call)(two)
        except RuntimeError:
            return False
        return True


def _check(model: FusionModel, name: str) -> None:
    """Refuse what would make a model's numbers depend on others, or on a generator that is not the engine's."""
    if type(model).forward is not FusionModel.forward:
        raise _refusal(name, "it has a `forward` of its own; expected `fuse` alone")
    for part in model.modules():
        kind = type(part).__name__
        if isinstance(part, SeededDropout) and part.probability != _PROBED_DROPOUT:
            raise _refusal(name, "one of its dropouts does not have the probability `config.dropout`")
        if isinstance(part, nn.modules.dropout._DropoutNd):
            raise _refusal(name, f"{kind} draws from a generator of its own; expected SeededDropout")
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            raise _refusal(name, f"{kind} mixes the clips of a batch")
    if buffers := [own for own, _ in model.named_buffers()]:
        raise _refusal(name, f"it has state besides parameters ({', '.join(buffers)})")


def _refusal(name: str, reason: str) -> ConfigError:
    return ConfigError(
        f"fusion model {name!r} cannot be trained in a stack: {reason}; give it a stacked form with "
        "mer.stack.models.register_stacked, or train it alone"
    )


def _sorted(streams: tuple[str, ...] | None, shape: FusionShape) -> tuple[str, ...] | None:
    return None if streams is None else tuple(name for name in shape.widths if name in streams)


def _axes(argument: Any) -> Any:
    """Axis to map of every tensor in a dictionary or tuple: the first, but none where all models read the same."""
    if isinstance(argument, dict):
        return {name: _axes(value) for name, value in argument.items()}
    if isinstance(argument, tuple):
        return tuple(_axes(value) for value in argument)
    return 0 if len(argument) > 1 else None


def _shared(argument: Any, axes: Any) -> Any:
    """The argument without the axis of size 1 that is not mapped."""
    if isinstance(argument, dict) and isinstance(axes, dict):
        return {name: _shared(value, axes[name]) for name, value in argument.items()}
    if isinstance(argument, tuple) and isinstance(axes, tuple):
        return tuple(_shared(value, axis) for value, axis in zip(argument, axes, strict=True))
    return argument if axes == 0 else argument[0]


def _of(value: Tensor, k: int) -> Tensor:
    """Model k's part; a view without a copy of gradients where there is only one."""
    return value.squeeze(0) if len(value) == 1 else value[k]
