"""Interface of a fusion model: streams with masks in, emotion logits and valence out.

A stream is a vector per clip or a vector per frame; a model may get any mixture of the two. Several feature sets of one modality
are streams named `<modality>/<set>`, such as `acoustic` and `acoustic/adapted`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import BoolTensor, Tensor, nn

from mer.fusion.config import FusionConfig


class FusionOutput(NamedTuple):
    """Output of a fusion model for a batch of B clips."""

    emotion_logits: Tensor
    """(B, C)"""
    valence: Tensor
    """(B,)"""
    modality_weights: Tensor
    """(B, M) how much each stream entered the result, in the model's stream order; 0 where missing."""


@dataclass(frozen=True)
class FusionShape:
    """Stream widths and classes that a model is built for."""

    widths: Mapping[str, int]
    """Stream name -> features; the order is the model's stream order."""
    classes: int

    @property
    def modalities(self) -> dict[str, tuple[str, ...]]:
        """Modality -> its streams: the part of a stream's name before the first `/`."""
        streams: dict[str, tuple[str, ...]] = {}
        for stream in self.widths:
            modality = stream.partition("/")[0]
            streams[modality] = (*streams.get(modality, ()), stream)
        return streams


class FusionModel(nn.Module):
    """Base of fusion models. Subclasses call `add_heads` last in `__init__`, and define `fuse`.

    A missing stream or a padded frame must not change the result, whatever values it holds. Parameters live in `nn.Linear`
    layers only (the seeded initialisation fills those), but for what `add_heads` adds, which starts at zero.

    Heads. Separate: `logits = W_e z`, `valence = w_v z + b`. Joint decoding (Wang et al. 2023, arXiv 2309.07925; that both
    are decoded jointly is known, the formula is our reconstruction): `p = softmax(logits)`, `valence = w^T z + sum_c p_c m_c`. A
    further `w_p^T p` would say the same as `m`, and a bias too, as p sums to 1: both are left out, so that the class valences m
    can be read off a fitted model. They are a parameter, not a buffer: initialised to the training classes' means by
    `start_heads`, then trained, averaged and checkpointed like any other. Where `posterior_gradient` is off, valence reads p but
    does not train it.
    """

    reads_frames = False
    """Whether `fuse` gets (B, T, width); otherwise framewise streams are averaged over their frames first."""
    valence_spread = 1.0
    """Variance of the training clips' valence: the squared error of an untrained model."""

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
            inputs: stream name -> (B, width), or (B, T, width) frame by frame, T of the stream's own.
            present: stream name -> (B,) bool, or (B, T) bool, true at valid frames.
        """
        return self.fuse(*self.shown(inputs, present))

    def shown(
        self, inputs: Mapping[str, Tensor], present: Mapping[str, BoolTensor | Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Values and masks as `fuse` receives them; arguments as for `forward`."""
        held: dict[str, Tensor] = {}
        masks: dict[str, Tensor] = {}
        for name in self.streams:
            mask = present[name].to(inputs[name].dtype)[..., None]
            # where, not a product: a missing row may hold anything, NaN included
            values = inputs[name].where(mask > 0, inputs[name].new_zeros(()))
            if values.ndim == 3 and not self.reads_frames:
                values, mask = values.sum(dim=1) / mask.sum(dim=1).clamp_min(1), mask.amax(dim=1)
            elif values.ndim == 2 and self.reads_frames:
                values, mask = values[:, None], mask[:, None]
            held[name], masks[name] = values, mask
        return held, masks

    def fuse(self, inputs: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse streams whose missing rows are zeros, under masks that hold 1 where present.

        Args:
            inputs: stream name -> (B, width), or (B, T, width) where `reads_frames`.
            masks: stream name -> (B, 1), or (B, T, 1).
        """
        raise NotImplementedError

    def add_heads(self, width: int, config: FusionConfig) -> None:
        """Heads on a fused vector of `width` features, and the learned weights of the losses, if any."""
        joint = config.valence_decoding == "joint"
        self.emotion: nn.Module = nn.Linear(width, self.shape.classes)
        self.valence: nn.Module = nn.Linear(width, 1, bias=not joint)
        self.add_decoding(config)

    def add_decoding(self, config: FusionConfig) -> None:
        """The part of the heads that does not depend on the fused vector."""
        classes = self.shape.classes
        self.posterior_gradient = config.posterior_gradient
        if config.valence_decoding == "joint":
            self.class_valence = nn.Parameter(torch.zeros(classes))
        if config.task_balance != "fixed":
            self.task_balance = nn.Parameter(torch.zeros(2))

    @property
    def decodes_jointly(self) -> bool:
        """Whether valence reads the class posteriors."""
        return hasattr(self, "class_valence")

    def decode(self, fused: Tensor, weights: Tensor) -> FusionOutput:
        """Output of a fused vector (B, width) and the streams' weights (B, M)."""
        logits = self.emotion(fused)
        return FusionOutput(logits, self.decoded_valence(self.valence(fused).squeeze(1), logits), weights)

    def decoded_valence(self, valence: Tensor, logits: Tensor) -> Tensor:
        """(B,) valence of the fused vector; joint decoding adds the contribution of the posteriors of (B, C) logits."""
        if not self.decodes_jointly:
            return valence
        posteriors = torch.softmax(logits if self.posterior_gradient else logits.detach(), dim=1)
        return valence + posteriors @ self.class_valence

    @torch.no_grad()
    def start_heads(self, class_means: Tensor) -> None:
        """Let joint decoding start as class-mean decoding: m = `class_means` (C,), w = 0. Nothing where heads are separate."""
        if not self.decodes_jointly:
            return
        self.class_valence.copy_(class_means)
        for parameter in self.valence.parameters():
            parameter.zero_()


Builder = Callable[[FusionShape, FusionConfig], FusionModel]
"""Signature of a registered model builder; an entry point of the group `mer.fusion_models` names one."""
