"""A contiguous block of transformer layers: what the layer study chooses and the adaptation trains.

Imports no torch: references and flows read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mer.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mer.encoders.placement import Placement


@dataclass(frozen=True)
class Block:
    """Layers `start` .. `stop - 1` of an encoder.

    They turn hidden state `start` into hidden states `start + 1` .. `stop`; hidden state 0 is the
    convolutional front end.

    Raises:
        ConfigError: unless 0 <= start < stop.
    """

    start: int
    """First layer adapted; also the hidden state that is computed once, frozen, and cached."""
    stop: int
    """Hidden state that is read; layers from here on are never run."""

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise ConfigError(f"block: expected 0 <= start < stop, found {self.start} and {self.stop}")

    @property
    def length(self) -> int:
        """Number of layers adapted."""
        return self.stop - self.start


class BlockEncoder(Protocol):
    """Interface that adaptation needs of an encoder: a `LayeredEncoder` of speech, `PictureLayers` or `TextLayers`.

    A frame is a frame of sound, a token of a picture, or a token of a text; where not all of them count in a clip's
    vector, the encoder has a method `counted` (see `mer.adaptation.counted_tokens`).
    """

    width: int
    layer_count: int
    module: nn.Module
    placement: Placement
    """Where it is, and in which arithmetic."""

    def run_layers(self, hidden: Tensor, mask: Tensor, start: int, stop: int) -> list[Tensor]:
        """Hidden state `start` (batch, frames, width) -> states start+1..stop; mask (batch, frames)."""
        ...

    def layer_module_names(self, start: int, stop: int) -> Sequence[str]:
        """Full names within `module` of the linear maps of layers start..stop-1."""
        ...
