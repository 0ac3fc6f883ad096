"""Speech features: decode, trim, normalise, encode one clip at a time (padding would cost time and enter
means).
"""

from __future__ import annotations

import numpy as np
import torch

from mer.clips import Clip
from mer.encoders.acoustic import load_speech
from mer.encoders.hidden_states import state_indices
from mer.encoders.weights import ResolvedWeights
from mer.features.clip_feature import ClipFeature, masked
from mer.features.pooling import pooled, pooled_zeros
from mer.features.spec import FeatureSpec
from mer.media.audio import SPEECH_RATE, Waveform, decode_audio, peak_normalise, trim_silence

TOO_SHORT = "too_short"


class SpeechExtractor:
    """Hidden states of a speech encoder, pooled or framewise; layers above the last one asked for are not
    run.
    """

    def __init__(self, spec: FeatureSpec, resolved: ResolvedWeights) -> None:
        self.spec = spec
        self._encoder = load_speech(resolved)
        self._wanted = state_indices(spec.layers, self._encoder.layer_count)

    def extract(self, clip: Clip) -> ClipFeature:
        """Decode and encode; raises MediaError where there is no usable sound."""
        return self.encode(decode_audio(clip.path, max_seconds=self.spec.audio.max_seconds))

    def encode(self, waveform: Waveform) -> ClipFeature:
        """Feature of a waveform, float32 (time,) at 16 kHz."""
        prepared = prepare(waveform, self.spec)
        missing = self._encoder.minimum_samples - prepared.size
        if missing > 0:  # less than one frame: silence makes it one
            prepared = np.pad(prepared, (0, missing))
        states = self._encoder.states(torch.from_numpy(prepared), self._wanted)
        return ClipFeature(pooled(states, self.spec), present=True, flags=(TOO_SHORT,) if missing > 0 else ())

    def absent(self, *flags: str) -> ClipFeature:
        """Zeros of the feature's shape."""
        return masked(pooled_zeros(self.spec, len(self._wanted), self._encoder.width), flags)


def prepare(waveform: Waveform, spec: FeatureSpec) -> Waveform:
    """Trim and normalise as the spec says; a fresh contiguous array."""
    if spec.audio.trim_silence:
        waveform = trim_silence(waveform, SPEECH_RATE)
    if spec.audio.peak_normalise:
        waveform = peak_normalise(waveform)
    return np.array(waveform, dtype=np.float32)
