"""A contiguous block of transformer layers: what the layer study chooses and the adaptation trains."""

from __future__ import annotations

from dataclasses import dataclass

from mer.errors import ConfigError


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
