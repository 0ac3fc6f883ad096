"""What a stack of models reads: features once in memory for all of them, and which rows each view may use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mer.errors import ConfigError
from mer.stack.batch import StackBatch
from mer.stack.frames import FrameStore, StackFrames

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
        if data is self.data:
            return self
        device = data.emotion.device
        return StackView(
            self.name,
            self.train.to(device),
            self.validation.to(device),
            {name: values.to(device) for name, values in self.shift.items()},
            {name: values.to(device) for name, values in self.scale.items()},
            data,
        )

    def batch(self, index: Tensor, *, reads_frames: bool = False) -> StackBatch:
        """The clips `index` (B,) as a batch for all models that read them: leading size 1.

        Args:
            index: row numbers.
            reads_frames: every stream as (1, B, T, D), a vector as one frame; otherwise as (1, B, D), frames as their mean.
        """
        values, present = {}, {}
        for stream in self.data.widths:
            held = self.data.present[stream].index_select(0, index)
            if reads_frames and stream in self.data.frames:
                own, mask = self.data.frames[stream].padded(
                    index, held, self.shift[stream], self.scale[stream]
                )
                values[stream], present[stream] = own[None], mask.to(own.dtype)[None, :, :, None]
                continue
            own = self._vectors(stream, index, held[:, None])
            known = held.to(own.dtype)[:, None]
            values[stream], present[stream] = (
                (own[None, :, None], known[None, :, None]) if reads_frames else (own[None], known[None])
            )
        return StackBatch(values, present)

    def _vectors(self, stream: str, index: Tensor, held: Tensor) -> Tensor:
        raw = self.data.vectors(stream).index_select(0, index)
        scale = self.scale[stream]
        scaled = torch.addcmul(self.shift[stream], raw.to(scale.dtype), scale)
        # where, not a product: a missing row may hold anything, NaN included
        return scaled if bool(held.all()) else scaled.where(held, scaled.new_zeros(()))


@dataclass(frozen=True)
class StackData:
    """Raw features of N clips, resident once, with labels."""

    values: Mapping[str, Tensor]
    """Stream -> (N, D) float32 or bfloat16, not standardised; may be memory-mapped."""
    present: Mapping[str, Tensor]
    """Stream -> (N,) bool, of all streams in their order."""
    emotion: Tensor
    """(N,) int64, -1 = unlabelled or hidden."""
    valence: Tensor
    """(N,) float32, NaN = missing."""
    weight: Tensor
    """(N,) weight in the losses."""
    classes: int
    frames: Mapping[str, StackFrames] = field(default_factory=dict)
    """Streams that are held frame by frame; the others are in `values`."""
    target: Tensor | None = None
    """(N, C) distributions that replace the labels in the losses (see `Examples.distributions`); None: every label is hard."""

    @cached_property
    def widths(self) -> dict[str, int]:
        """Stream -> features."""
        return {
            name: self.frames[name].width if name in self.frames else self.values[name].shape[1]
            for name in self.present
        }

    @cached_property
    def lengths(self) -> NDArray[np.int64] | None:
        """(N,) frames of each clip's longest framewise stream; None where every stream is one vector a clip."""
        if not self.frames:
            return None
        longest: NDArray[np.int64] = np.max(
            [own.counts.cpu().numpy() for own in self.frames.values()], axis=0
        )
        return longest

    @cached_property
    def _means(self) -> dict[str, Tensor]:
        return {name: own.means(self.present[name]) for name, own in self.frames.items()}

    def vectors(self, stream: str) -> Tensor:
        """(N, D) of the stream; the mean over frames where it is framewise, made once."""
        return self._means[stream] if stream in self.frames else self.values[stream]

    def distribution(self, index: Tensor) -> Tensor:
        """(B, C) targets of the clips `index`; one-hot, of class 0 where unlabelled, where every label is hard."""
        if self.target is not None:
            return self.target[index]
        return functional.one_hot(self.emotion[index].clamp_min(0), self.classes).float()

    def to(
        self,
        device: str | torch.device,
        dtype: torch.dtype | None = None,
        moved: dict[int, FrameStore] | None = None,
    ) -> StackData:
        """The same on a device.

        Args:
            device: where to.
            dtype: of the features (bfloat16 halves their memory).
            moved: stores of frames that are there already, by identity; shared with other data of the same frames.
        """
        if torch.device(device) == self.emotion.device and dtype is None:
            return self
        there = {} if moved is None else moved
        return StackData(
            {name: values.to(device, dtype or values.dtype) for name, values in self.values.items()},
            {name: present.to(device) for name, present in self.present.items()},
            self.emotion.to(device),
            self.valence.to(device),
            self.weight.to(device),
            self.classes,
            {name: own.to(device, dtype, there) for name, own in self.frames.items()},
            None if self.target is None else self.target.to(device),
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
        for stream, width in self.widths.items():
            present = self.present[stream]
            used = torch.from_numpy(train).to(present.device) & present
            if stream in self.frames:
                known = self.frames[stream].mean_and_deviation(used)
            else:
                known = _mean_and_deviation(self.values[stream][used])
            shift[stream], scale[stream] = _standardisation(known, width, present.device)
        train_rows, validation_rows = (
            torch.from_numpy(np.flatnonzero(mask)).to(self.emotion.device) for mask in (train, validation)
        )
        return StackView(name, train_rows, validation_rows, shift=shift, scale=scale, data=self)


def _mean_and_deviation(values: Tensor) -> tuple[Tensor, Tensor] | None:
    if not len(values):
        return None
    deviation, mean = torch.std_mean(values.double(), dim=0, correction=0)
    return mean, deviation


def _standardisation(
    known: tuple[Tensor, Tensor] | None, width: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """(shift, scale) for a mean and deviation; the identity where nothing is known."""
    if known is None:
        return torch.zeros(width, device=device), torch.ones(width, device=device)
    mean, deviation = known
    varies = deviation > _SMALLEST_DEVIATION * mean.abs().clamp_min(1.0)
    scale = torch.where(varies, 1 / deviation.where(varies, torch.ones_like(deviation)), 0.0)
    return (-mean * scale).float(), scale.float()
