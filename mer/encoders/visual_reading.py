"""What is read from an encoder of face crops: hidden states reduced to one vector a frame, and its output.
Imports no torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mer.encoders.frame_tokens import Tokens
from mer.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from mer.encoders.picture_layers import PictureLayers

Crops = NDArray[np.uint8]


class VisualEncoder(Protocol):
    """A frozen encoder of face crops; rows are frames, or tubelets of several frames (VideoMAE)."""

    width: int
    """Features of a hidden state."""
    output_width: int
    """Features of the output."""
    layer_count: int

    def pieces(self, crops: Crops) -> list[Crops]:
        """Cut a clip's crops (frames, height, width, 3) into what bounds the memory of one pass."""
        ...

    def rows(self, frames: int) -> int:
        """Rows that a piece, or several in one batch, of this many frames gives."""
        ...

    def read(
        self, crops: Crops, indices: Collection[int], *, output: bool, tokens: Tokens = "class"
    ) -> tuple[dict[int, Tensor], Tensor | None]:
        """One pass over pieces (concatenated), which ends after the last layer that is read.

        Args:
            crops: uint8 (frames, height, width, 3) RGB.
            indices: hidden states, 0 (embeddings) to `layer_count` (the last, before any norm that follows).
            output: whether the output is wanted too.
            tokens: how a frame's tokens become one vector.

        Returns:
            hidden states by index, each (rows, width), with tokens `all` (rows * tokens, width), and the
            output (rows, output_width) or None.
        """
        ...

    def output(self, crops: Crops) -> Tensor:
        """The output alone, (rows, output_width)."""
        ...

    def states(self, crops: Crops, indices: Sequence[int]) -> list[Tensor]:
        """Hidden states alone, each (rows, width)."""
        ...

    def layers(self, reads: Tokens = "class") -> PictureLayers:
        """The layers, to be entered and left anywhere; `reads` says which of a picture's tokens are pooled.

        Raises:
            ConfigError: an encoder whose layers cannot be entered from a picture's tokens.
        """
        ...


@runtime_checkable
class TrainableVisual(Protocol):
    """An encoder of single pictures through which gradients pass: what alignments train."""

    module: Any
    """The network, a torch module."""
    projection: Any
    """A further module behind it; None: there is none."""
    output_width: int

    def output_of(self, crops: Crops) -> Tensor:
        """The output (frames, output_width) of uint8 crops (frames, height, width, 3), with gradients."""
        ...


class VisualReadings(ABC):
    """Readings of one kind in terms of `read`, and pictures in pieces of 32."""

    @abstractmethod
    def read(
        self, crops: Crops, indices: Collection[int], *, output: bool, tokens: Tokens = "class"
    ) -> tuple[dict[int, Tensor], Tensor | None]:
        """See `VisualEncoder.read`."""

    def pieces(self, crops: Crops) -> list[Crops]:
        """See `VisualEncoder.pieces`."""
        return [crops[start : start + 32] for start in range(0, len(crops), 32)]

    def rows(self, frames: int) -> int:
        """See `VisualEncoder.rows`: one a frame."""
        return frames

    def output(self, crops: Crops) -> Tensor:
        """See `VisualEncoder.output`."""
        vectors = self.read(crops, (), output=True)[1]
        assert vectors is not None
        return vectors

    def states(self, crops: Crops, indices: Sequence[int]) -> list[Tensor]:
        """See `VisualEncoder.states`."""
        states, _ = self.read(crops, indices, output=False)
        return [states[index] for index in indices]

    def layers(self, reads: Tokens = "class") -> PictureLayers:
        """See `VisualEncoder.layers`; refused, unless a subclass says otherwise."""
        raise ConfigError(f"{type(self).__name__}: expected an encoder of single pictures to adapt")


def read_tokens(state: Tensor, tokens: Tokens, leading: int) -> Tensor:
    """(frames, tokens, width) -> (frames, width), for `all` (frames * tokens, width).

    `leading` tokens (class, distillation) precede patches.
    """
    if tokens == "all":
        return state.flatten(0, 1)
    if tokens == "sum":
        return state.sum(dim=1)
    if tokens == "class" and leading:
        return state[:, 0]
    return state[:, leading:].mean(dim=1)
