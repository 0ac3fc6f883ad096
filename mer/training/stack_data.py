"""What a stack of models reads: features once in memory for all of them, and which rows each view may use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mer.errors import ConfigError

_SMALLEST_DEVIATION = 1e-6


@dataclass(frozen=True)
class StackView:
    """The clips one model learns from and is judged on, and how its features are standardised."""

    name: str
    train: Tensor
    """Row numbers to learn from."""
    validation: Tensor
    """Row numbers to judge by; no other label is read after the view is made."""
    shift: Mapping[str, Tensor]
    """Stream -> (D,) added after scaling: -mean / deviation."""
    scale: Mapping[str, Tensor]
    """Stream -> (D,) 1 / deviation over the training clips; 0 for features that do not vary there."""
    data: StackData
    """The clips that the row numbers count."""

    def to(self, data: StackData) -> StackView:
        """The same over `data`, a copy of the clips on another device."""
        device = data.emotion.device
        return StackView(
            self.name,
            self.train.to(device),
            self.validation.to(device),
            {name: values.to(device) for name, values in self.shift.items()},
            {name: values.to(device) for name, values in self.scale.items()},
            data,
        )

    def batch(self, index: Tensor) -> StackBatch:
        """The clips `index` (B,) as a batch for all models that read them: leading size 1."""
        data, values, present = self.data, {}, {}
        for stream, raw in data.values.items():
            held = data.present[stream].index_select(0, index)[:, None]
            scale = self.scale[stream]
            scaled = torch.addcmul(self.shift[stream], raw.index_select(0, index).to(scale.dtype), scale)
            # where, not a product: a missing row may hold anything, NaN included
            values[stream] = (scaled if bool(held.all()) else scaled.where(held, scaled.new_zeros(())))[None]
            present[stream] = held.to(scaled.dtype)[None]
        return StackBatch(values, present)


@dataclass(frozen=True)
class StackBatch:
    """Clips for K models: one batch each, or one for all (leading size 1)."""

    values: Mapping[str, Tensor]
    """Stream -> (K or 1, B, D), standardised; a missing stream's row is 0."""
    present: Mapping[str, Tensor]
    """Stream -> (K or 1, B, 1), 1 where the clip has the stream."""


@dataclass(frozen=True)
class StackData:
    """Raw features of N clips, resident once, with labels."""

    values: Mapping[str, Tensor]
    """Stream -> (N, D) float32 or bfloat16, not standardised; may be memory-mapped."""
    present: Mapping[str, Tensor]
    """Stream -> (N,) bool."""
    emotion: Tensor
    """(N,) int64, -1 = unlabelled or hidden."""
    valence: Tensor
    """(N,) float32, NaN = missing."""
    weight: Tensor
    """(N,) weight in the losses."""
    classes: int

    @property
    def widths(self) -> dict[str, int]:
        """Stream -> features."""
        return {name: values.shape[1] for name, values in self.values.items()}

    def to(self, device: str | torch.device, dtype: torch.dtype | None = None) -> StackData:
        """The same on a device; `dtype` of the features (bfloat16 halves their memory)."""
        return StackData(
            {name: values.to(device, dtype or values.dtype) for name, values in self.values.items()},
            {name: present.to(device) for name, present in self.present.items()},
            self.emotion.to(device),
            self.valence.to(device),
            self.weight.to(device),
            self.classes,
        )

    def view(self, name: str, train: NDArray[np.bool_], validation: NDArray[np.bool_]) -> StackView:
        """A view of these clips, standardised by its training clips alone.

        Raises:
            ConfigError: no training clips, or a clip that both trains and validates.
        """
        if not train.any() or (train & validation).any():
            raise ConfigError(
                f"view {name}: expected training clips apart from the validation clips, found {int(train.sum())} "
                f"training clips and {int((train & validation).sum())} in both"
            )
        shift, scale = {}, {}
        for stream, values in self.values.items():
            used = torch.from_numpy(train).to(values.device) & self.present[stream]
            shift[stream], scale[stream] = _standardisation(values[used], values.shape[1])
        train_rows, validation_rows = (
            torch.from_numpy(np.flatnonzero(mask)).to(self.emotion.device) for mask in (train, validation)
        )
        return StackView(name, train_rows, validation_rows, shift=shift, scale=scale, data=self)


def joined(batches: Sequence[StackBatch], of_model: Tensor | None) -> StackBatch:
    """Batches (1, B, ...) side by side; `of_model` (K,) says which of them each model reads, None: all read the first."""
    if of_model is None:
        return batches[0]
    merged = [{}, {}]  # type: list[dict[str, Tensor]]
    for target, parts in zip(
        merged, ([b.values for b in batches], [b.present for b in batches]), strict=True
    ):
        for stream in parts[0]:
            beside = torch.cat([part[stream] for part in parts])
            target[stream] = beside if len(of_model) == len(batches) else beside.index_select(0, of_model)
    return StackBatch(merged[0], merged[1])


def resident(values: NDArray[np.float32], folder: Path, stream: str, largest_bytes: int) -> Tensor:
    """(N, D) features as a tensor: in memory up to `largest_bytes`, beyond that mapped from a file in `folder`.

    The file `<stream>.f32.npy` is written whole or not at all; the mapping is private, so nothing writes back.
    """
    if values.nbytes <= largest_bytes:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
    folder.mkdir(parents=True, exist_ok=True)
    path, unfinished = folder / f"{stream}.f32.npy", folder / f".{stream}.f32.tmp.npy"
    np.save(unfinished, np.asarray(values, dtype=np.float32))
    unfinished.replace(path)
    return torch.from_numpy(np.load(path, mmap_mode="c"))


def _standardisation(values: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """(shift, scale) of the rows; the identity where there are none."""
    if not len(values):
        return torch.zeros(width, device=values.device), torch.ones(width, device=values.device)
    deviation, mean = torch.std_mean(values.double(), dim=0, correction=0)
    varies = deviation > _SMALLEST_DEVIATION * mean.abs().clamp_min(1.0)
    scale = torch.where(varies, 1 / deviation.where(varies, torch.ones_like(deviation)), 0.0)
    return (-mean * scale).float(), scale.float()
