"""Speech features: decode, trim, normalise, encode. Clips go through one at a time on a processor; on a GPU
windows of similar length go together, and padding enters no mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mer.encoders.acoustic import load_acoustic
from mer.encoders.batching import FittingBatches
from mer.encoders.placement import ON_CPU, Placement
from mer.encoders.trials import sound_trials
from mer.encoders.weights import ResolvedWeights
from mer.encoders.windows import windows
from mer.features.clip_feature import TOO_SHORT
from mer.features.clip_media import ClipMedia
from mer.features.reader import EncoderReader, Pieces, Rows
from mer.features.spec import FeatureSpec
from mer.media.audio import SPEECH_RATE

GPU_BATCH_SECONDS = 480.0
"""Padded seconds that first go together on a GPU."""


@dataclass(frozen=True)
class SoundPiece:
    """A window of a waveform."""

    samples: Tensor
    """(time,) at 16 kHz, as the encoder wants it."""
    frames: slice
    """Its frames that count."""


class SpeechReader(EncoderReader):
    """Hidden states of a speech encoder; layers above the last one asked for are not run."""

    trials = staticmethod(sound_trials)
    """What bf16 is proved by, see `mer.encoders.bf16_proof`."""

    def __init__(
        self, specs: Sequence[FeatureSpec], resolved: ResolvedWeights, placement: Placement = ON_CPU
    ) -> None:
        self.encoder = load_acoustic(resolved, placement)
        batches = FittingBatches(GPU_BATCH_SECONDS if placement.on_gpu else 0.0)
        super().__init__(specs, self.encoder.layer_count, batches)

    def beside(self, specs: Sequence[FeatureSpec]) -> SpeechReader:
        """See `EncoderReader.beside`: other speeds of the same clips, say."""
        other = copy(self)
        EncoderReader.__init__(other, specs, self.encoder.layer_count, self.batches)
        return other

    def prepare(self, media: ClipMedia) -> Pieces:
        """Decode and cut into windows; raises MediaError where there is no usable sound."""
        audio = self.specs[0].audio
        sound = media.sound(audio)
        samples, flags = sound.waveform, sound.flags
        if samples.size < audio.min_seconds * SPEECH_RATE:
            return Pieces([], [], (*flags, TOO_SHORT))
        missing = self.encoder.minimum_samples - samples.size
        if missing > 0:  # less than one frame: silence makes it one
            samples, flags = np.pad(samples, (0, missing)), (*flags, TOO_SHORT)
        whole = self.encoder.prepared(torch.from_numpy(samples))
        cut = windows(self.encoder, whole.numel(), audio.window_seconds)
        items = [SoundPiece(whole[window.samples], window.frames) for window in cut]
        return Pieces(items, [item.samples.numel() / SPEECH_RATE for item in items], flags)

    def encode(self, items: list[Any]) -> list[Rows]:
        """One pass over a batch of windows."""
        indices = self.state_indices()
        states_of_items = self.encoder.states_of_batch([item.samples for item in items], indices)
        return [
            self.rows(state_by_index, state_by_index[indices[0]].shape[0])
            for item, states in zip(items, states_of_items, strict=True)
            for state_by_index in [
                {index: state[item.frames] for index, state in zip(indices, states, strict=True)}
            ]
        ]

    def width(self, spec: FeatureSpec) -> int:
        """Features of a hidden state."""
        return self.encoder.width
