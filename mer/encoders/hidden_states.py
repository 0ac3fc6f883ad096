"""Hidden states of transformer encoders, and encoders whose layers can be run in part.

Numbering everywhere: hidden state 0 is what enters the first transformer layer (the convolutional front end
with positions), hidden state l is what layer l gives, and the last one has been through the encoder's final
norm, where it has one. That is the numbering of published layer studies and of `output_hidden_states` up to
transformers 4; transformers 5 returns the last state of HuBERT-like encoders before their final norm.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mer.encoders.placement import Placement
from mer.errors import ConfigError


class SpeechEncoder(Protocol):
    """A frozen speech encoder: waveform in, hidden states out."""

    width: int
    """Features of a hidden state."""
    layer_count: int
    """Transformer layers; there is one hidden state more."""
    minimum_samples: int
    """Shortest waveform that gives a frame, samples at 16 kHz."""
    stride: int
    """Samples from one frame to the next."""
    longest_seconds: float
    """Longest waveform one pass can see; infinity where only memory bounds it."""

    @property
    def frames_per_second(self) -> float:
        """Rate of the hidden states, Hz."""
        ...

    def frame_count(self, samples: int) -> int:
        """Frames of a waveform of this many samples."""
        ...

    def prepared(self, waveform: Tensor) -> Tensor:
        """What the encoder's own processor does to a whole waveform (time,), before any window is cut."""
        ...

    def states(self, waveform: Tensor, indices: Sequence[int]) -> list[Tensor]:
        """Hidden states `indices` of one waveform (time,) at 16 kHz, each (frames, width).

        Layers above the last wanted one are not run. Device and type are those of the encoder.
        """
        ...

    def states_of_batch(self, waveforms: Sequence[Tensor], indices: Sequence[int]) -> list[list[Tensor]]:
        """`states` of several prepared waveforms in one pass; padding changes nothing at real frames."""
        ...


class LayeredEncoder(SpeechEncoder, Protocol):
    """A speech encoder that can be entered and left at any layer."""

    module: nn.Module
    """The transformers model (for parameter-efficient fine-tuning)."""
    placement: Placement
    """Where it is, and in which arithmetic."""

    def hidden_states(self, waveform: Tensor) -> Tensor:
        """All hidden states of one waveform (time,) at 16 kHz: (layers + 1, frames, width)."""
        ...

    def run_layers(self, hidden: Tensor, mask: Tensor, start: int, stop: int) -> list[Tensor]:
        """Run layers start..stop-1: hidden state `start` -> hidden states start+1..stop.

        Args:
            hidden: (batch, frames, width) hidden state `start`, right-padded.
            mask: bool (batch, frames), True at real frames; padding changes nothing at real frames.
            start: hidden state given.
            stop: hidden state wanted, start < stop <= layer_count.

        Returns:
            stop - start tensors (batch, frames, width); values at padded frames mean nothing.
        """
        ...

    def layer_module_names(self, start: int, stop: int) -> tuple[str, ...]:
        """Full names within `module` of the linear maps (attention and MLP) of layers start..stop-1."""
        ...


class LayerStack(ABC):
    """What layered encoders share: enter at the front end, run layers, leave after the last one wanted.

    Subclasses set the attributes and say what the front end and one layer are.
    """

    width: int
    layer_count: int
    minimum_samples: int
    stride: int
    longest_seconds = float("inf")
    always_masked = False
    """Use the mask of `run_layers` without looking whether anything is padded: `torch.func.vmap` cannot look."""
    placement: Placement
    module: Any
    layers_name: str
    """Name of the layer list within `module`."""
    linear_names: tuple[str, ...]
    """Names of the linear maps within a layer: attention q, k, v, o and the MLP."""

    def entered(self, waveform: Tensor) -> Tensor:
        """What the front end is given of a prepared waveform (time,), where the encoder is: the waveform itself."""
        return self.placement.put(waveform)

    @abstractmethod
    def front_end(self, waveform: Tensor) -> Tensor:
        """What `entered` gives, the prepared waveform (time,) -> hidden state 0, (1, frames, width)."""

    @abstractmethod
    def final_norm(self, hidden: Tensor) -> Tensor:
        """What the encoder does after its last layer."""

    @abstractmethod
    def run_each(self, hidden: Tensor, mask: Tensor | None, layers: Iterable[int]) -> Iterable[Tensor]:
        """Raw outputs (batch, frames, width) of these consecutive layers; mask None: no padding."""

    @property
    def frames_per_second(self) -> float:
        """See `SpeechEncoder.frames_per_second`."""
        return 16_000 / self.stride

    def frame_count(self, samples: int) -> int:
        """See `SpeechEncoder.frame_count`: convolutions without padding."""
        return max(0, (samples - self.minimum_samples) // self.stride + 1)

    def prepared(self, waveform: Tensor) -> Tensor:
        """See `SpeechEncoder.prepared`; nothing, unless a subclass says otherwise."""
        return waveform

    def states(self, waveform: Tensor, indices: Sequence[int]) -> list[Tensor]:
        """See `SpeechEncoder.states`."""
        return self.states_of_batch([self.prepared(waveform)], indices)[0]

    def states_of_batch(self, waveforms: Sequence[Tensor], indices: Sequence[int]) -> list[list[Tensor]]:
        """See `SpeechEncoder.states_of_batch`.

        The front end sees one waveform at a time: its norms run over time and would see the padding.
        """
        with torch.inference_mode():
            fronts = [self.front_end(self.entered(waveform))[0] for waveform in waveforms]
            lengths = [front.shape[0] for front in fronts]
            states = {0: torch.nn.utils.rnn.pad_sequence(fronts, batch_first=True)}
            if max(indices) > 0:
                mask = padding_mask(lengths, states[0].device)
                for index, state in enumerate(self.run_each(states[0], mask, range(max(indices))), start=1):
                    if index in indices:
                        states[index] = self.final_norm(state) if index == self.layer_count else state
            return [[states[index][row, :length] for index in indices] for row, length in enumerate(lengths)]

    def hidden_states(self, waveform: Tensor) -> Tensor:
        """See `LayeredEncoder.hidden_states`."""
        return torch.stack(self.states(waveform, range(self.layer_count + 1)))

    def run_layers(self, hidden: Tensor, mask: Tensor, start: int, stop: int) -> list[Tensor]:
        """See `LayeredEncoder.run_layers`."""
        if not 0 <= start < stop <= self.layer_count:
            raise ConfigError(
                f"expected layers 0 <= start < stop <= {self.layer_count}, found {start}, {stop}"
            )
        given = hidden.to(self.placement.dtype)
        padded = self.always_masked or not bool(mask.all())
        outputs = list(self.run_each(given, mask if padded else None, range(start, stop)))
        if stop == self.layer_count:
            outputs[-1] = self.final_norm(outputs[-1])
        return [output.to(hidden.dtype) for output in outputs]

    def layer_module_names(self, start: int, stop: int) -> tuple[str, ...]:
        """See `LayeredEncoder.layer_module_names`."""
        return tuple(
            f"{self.layers_name}.{layer}.{linear}"
            for layer in range(start, stop)
            for linear in self.linear_names
        )


def padding_mask(lengths: Sequence[int], device: torch.device) -> Tensor | None:
    """bool (batch, frames), True at real frames; None where all rows are of one length."""
    if len(set(lengths)) == 1:
        return None
    return (torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]).to(device)


def attention_bias(mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """Additive attention mask (batch, 1, 1, frames) of a frame mask (batch, frames); None where nothing is
    padded.

    The lowest finite value instead of minus infinity: a row without any real frame gives no NaN.
    """
    if mask is None:
        return None
    bias = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
    return bias.masked_fill(~mask.to(torch.bool), torch.finfo(dtype).min)[:, None, None, :]


def state_indices(layers: str | Sequence[int], layer_count: int) -> tuple[int, ...]:
    """Hidden states asked for, as indices 0..layer_count.

    Raises:
        ConfigError: the encoder has no such hidden state, or one is named twice.
    """
    if layers == "all":
        return tuple(range(layer_count + 1))
    if layers == "output":
        return (layer_count,)
    numbers = [int(number) for number in layers]
    indices = tuple(number + layer_count + 1 if number < 0 else number for number in numbers)
    if any(not 0 <= number <= layer_count for number in indices) or len(set(indices)) != len(indices):
        raise ConfigError(f"expected hidden states within 0..{layer_count}, each once, found {numbers}")
    return indices
