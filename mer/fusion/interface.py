"""What a fusion model is, and the registry they are found in by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import BoolTensor, Tensor, nn

from mer.errors import ConfigError
from mer.fusion.config import FusionConfig


class FusionOutput(NamedTuple):
    """What a fusion model gives for a batch of B clips."""

    emotion_logits: Tensor
    """(B, C)"""
    valence: Tensor
    """(B,)"""
    modality_weights: Tensor
    """(B, M) how much each stream entered the result, in the model's stream order; 0 where missing."""


@dataclass(frozen=True)
class FusionShape:
    """What a model must be built for."""

    widths: Mapping[str, int]
    """Stream name -> features; the order is the model's stream order."""
    classes: int


class FusionModel(nn.Module):
    """Base of fusion models: streams in, emotion logits and valence out. Subclasses define `fuse`.

    A missing stream (present False) must not change the result, whatever values its row holds.
    """

    def __init__(self, shape: FusionShape) -> None:
        super().__init__()
        self.shape = shape

    @property
    def streams(self) -> Sequence[str]:
        """Stream names in the model's order."""
        return tuple(self.shape.widths)

    def forward(
        self, inputs: Mapping[str, Tensor], present: Mapping[str, BoolTensor | Tensor]
    ) -> FusionOutput:
        """Fuse a batch.

        Args:
            inputs: stream name -> (B, width).
            present: stream name -> (B,) bool.
        """
        masks = {name: present[name].to(inputs[name].dtype)[:, None] for name in self.streams}
        # where, not a product: a missing row may hold anything, NaN included
        held = {
            name: inputs[name].where(masks[name] > 0, inputs[name].new_zeros(())) for name in self.streams
        }
        return self.fuse(held, masks)

    def fuse(self, inputs: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse streams (B, width) whose missing rows are zeros; masks (B, 1) hold 1 where present."""
        raise NotImplementedError


Builder = Callable[[FusionShape, FusionConfig], FusionModel]
_BUILDERS: dict[str, Builder] = {}


def register(name: str) -> Callable[[Builder], Builder]:
    """Make a builder known under `name`, the value of `FusionConfig.model`."""

    def keep(builder: Builder) -> Builder:
        _BUILDERS[name] = builder
        return builder

    return keep


def build_fusion(shape: FusionShape, config: FusionConfig) -> FusionModel:
    """An untrained model of the kind that `config.model` names.

    Raises:
        ConfigError: no such model, or no streams.
    """
    # registration happens on import; importing here keeps the registry free of a list to maintain elsewhere
    from mer.fusion import attention, concat  # noqa: F401

    if config.model not in _BUILDERS:
        raise ConfigError(f"fusion model {config.model!r}: expected one of {', '.join(sorted(_BUILDERS))}")
    if not shape.widths or min(shape.widths.values()) < 1 or shape.classes < 2:
        raise ConfigError(f"fusion: expected streams with features and at least 2 classes, found {shape}")
    return _BUILDERS[config.model](shape, config)
