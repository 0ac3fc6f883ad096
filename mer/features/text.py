"""Text features: a transcript through a frozen text encoder; tokens are the time axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mer.encoders.batching import FittingBatches
from mer.encoders.lexical import load_lexical
from mer.encoders.placement import ON_CPU, Placement
from mer.encoders.tokens import unknown_words
from mer.encoders.trials import text_trials
from mer.encoders.weights import ResolvedWeights
from mer.features.clip_media import CUT, ClipMedia
from mer.features.missing import has_words
from mer.features.reader import EncoderReader, Pieces, Rows
from mer.features.spec import FeatureSpec
from mer.features.text_coverage import MOST_UNKNOWN, UNKNOWN_WORDS

NO_TRANSCRIPT = "no_transcript"

GPU_BATCH_TOKENS = 16_384.0
"""Padded tokens that first go together on a GPU."""


class TextReader(EncoderReader):
    """Hidden states of a transcript's tokens, special and prompt tokens left out (unless `tokens` is `all`)."""

    trials = staticmethod(text_trials)
    """What bf16 is proved by, see `mer.encoders.bf16_proof`."""

    def __init__(
        self, specs: Sequence[FeatureSpec], resolved: ResolvedWeights, placement: Placement = ON_CPU
    ) -> None:
        self.encoder = load_lexical(resolved, placement, specs[0].prompt)
        batches = FittingBatches(GPU_BATCH_TOKENS if placement.on_gpu else 0.0)
        super().__init__(specs, self.encoder.layer_count, batches)

    def prepare(self, media: ClipMedia) -> Pieces:
        """Tokenise the transcript; without one (or without a single word) the stream is absent."""
        text = (media.clip.transcript or "").strip()
        tokens = self.encoder.tokens(text) if has_words(text) else None
        if tokens is None or not any(tokens.words):
            return Pieces([], [], (NO_TRANSCRIPT,))
        flags = [CUT] if tokens.cut else []
        unknown = unknown_words(tokens, self.encoder.tokenizer.unknown_id)
        flags += [UNKNOWN_WORDS] if unknown > MOST_UNKNOWN * sum(tokens.words) else []
        return Pieces([tokens], [float(len(tokens.ids))], tuple(flags))

    def encode(self, items: list[Any]) -> list[Rows]:
        """One pass over a batch of texts."""
        indices = self.state_indices()
        return [
            self.rows(dict(zip(indices, states, strict=True)), states[0].shape[0])
            for states in self.encoder.states_of_batch(items, indices, self.specs[0].tokens)
        ]

    def width(self, spec: FeatureSpec) -> int:
        """Features of a hidden state."""
        return self.encoder.width
