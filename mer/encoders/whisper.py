"""Whisper's encoder (Radford et al. 2022): always 30 seconds of log-mel frames; frames after the speech are
cut off.

Its attention sees the padding (it was trained so), so hidden states are those of the padded input and layers
cannot be entered from cached, cut states: it gives features, but is not a `LayeredEncoder`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mer.encoders.loading import pretrained
from mer.encoders.placement import ON_CPU, Placement
from mer.encoders.weights import ResolvedWeights

HOP_SAMPLES = 2 * 160
"""Samples of 16 kHz sound per hidden frame: mel hop 160, second convolution of stride 2."""


class WhisperSpeech:
    """Whisper's encoder as a `SpeechEncoder`.

    Args:
        encoder: `WhisperEncoder`.
        extractor: `WhisperFeatureExtractor` of the same checkpoint.
        placement: where the encoder is.
    """

    stride = HOP_SAMPLES
    minimum_samples = HOP_SAMPLES
    longest_seconds = 30.0

    def __init__(self, encoder: Any, extractor: Any, placement: Placement = ON_CPU) -> None:
        self.module = encoder
        self.placement = placement
        self._extractor = extractor
        self.width = int(encoder.config.d_model)
        self.layer_count = int(encoder.config.encoder_layers)

    @property
    def frames_per_second(self) -> float:
        """See `SpeechEncoder.frames_per_second`."""
        return 16_000 / self.stride

    def frame_count(self, samples: int) -> int:
        """See `SpeechEncoder.frame_count`: the last frame may be partly silence."""
        return -(-samples // HOP_SAMPLES)

    def prepared(self, waveform: Tensor) -> Tensor:
        """See `SpeechEncoder.prepared`: nothing."""
        return waveform

    def states(self, waveform: Tensor, indices: Sequence[int]) -> list[Tensor]:
        """Hidden states `indices`, each (frames, width); sound after 30 seconds is not seen."""
        return self.states_of_batch([waveform], indices)[0]

    def states_of_batch(self, waveforms: Sequence[Tensor], indices: Sequence[int]) -> list[list[Tensor]]:
        """See `SpeechEncoder.states_of_batch`: all are padded to 30 seconds anyway."""
        encoder = self.module
        with torch.inference_mode():
            sounds = [waveform.numpy() for waveform in waveforms]
            mel = self._extractor(sounds, sampling_rate=16_000, return_tensors="pt").input_features
            hidden = functional.gelu(encoder.conv1(self.placement.put(mel)))
            hidden = functional.gelu(encoder.conv2(hidden)).transpose(1, 2)
            hidden = hidden + encoder.embed_positions.weight
            states = {0: hidden}
            for index in range(1, max(indices) + 1):
                hidden = encoder.layers[index - 1](hidden, None)
                states[index] = encoder.layer_norm(hidden) if index == self.layer_count else hidden
        lengths = [min(hidden.shape[1], self.frame_count(waveform.numel())) for waveform in waveforms]
        return [[states[index][row, :length] for index in indices] for row, length in enumerate(lengths)]


def load_whisper(resolved: ResolvedWeights, placement: Placement = ON_CPU) -> WhisperSpeech:
    """Load the encoder, in evaluation mode; the folder need not hold a decoder.

    Raises:
        WeightsError: weights of the encoder are missing, or cannot be read.
    """
    from transformers import WhisperFeatureExtractor, WhisperModel

    encoder: Any = pretrained(WhisperModel, resolved, placement, unused=("decoder.",)).encoder
    return WhisperSpeech(encoder, WhisperFeatureExtractor.from_pretrained(resolved.folder), placement)
