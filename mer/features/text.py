"""Text features: a transcript through a frozen text encoder; tokens are the time axis."""

from __future__ import annotations

from mer.clips import Clip
from mer.encoders.hidden_states import state_indices
from mer.encoders.lexical import load_lexical
from mer.encoders.weights import ResolvedWeights
from mer.features.clip_feature import ClipFeature, masked
from mer.features.pooling import pooled, pooled_zeros
from mer.features.spec import FeatureSpec

NO_TRANSCRIPT = "no_transcript"


class TextExtractor:
    """Hidden states of a transcript's tokens, special tokens left out, pooled or token by token."""

    def __init__(self, spec: FeatureSpec, resolved: ResolvedWeights) -> None:
        self.spec = spec
        self._encoder = load_lexical(resolved)
        self._wanted = state_indices(spec.layers, self._encoder.layer_count)

    def extract(self, clip: Clip) -> ClipFeature:
        """Encode the transcript; without one (or without a single token) the stream is absent."""
        text = (clip.transcript or "").strip()
        states = self._encoder.states(text, self._wanted) if text else []
        if not states or states[0].shape[0] == 0:
            return self.absent(NO_TRANSCRIPT)
        return ClipFeature(pooled(states, self.spec), present=True)

    def absent(self, *flags: str) -> ClipFeature:
        """Zeros of the feature's shape."""
        return masked(pooled_zeros(self.spec, len(self._wanted), self._encoder.width), flags)
