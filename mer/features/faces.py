"""Face features: frames spread over the clip, one face cut out of each (or OpenFace's crops), then an encoder
or the crops themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from mer.encoders.batching import FittingBatches
from mer.encoders.placement import ON_CPU, Placement
from mer.encoders.trials import picture_trials
from mer.encoders.visual import load_visual
from mer.encoders.weights import ResolvedWeights
from mer.features.clip_feature import ClipFeature, masked
from mer.features.clip_media import ClipMedia
from mer.features.pooling import pooled
from mer.features.reader import EncoderReader, Pieces, Rows
from mer.features.spec import FeatureSpec

GPU_BATCH_FRAMES = 512.0
"""Frames that first go together on a GPU."""


class CropReader:
    """`crops:`, the input of trainable visual encoders: uint8 (1, frames, size, size, 3)."""

    def __init__(self, spec: FeatureSpec) -> None:
        self.specs: tuple[FeatureSpec, ...] = (spec,)

    def prepare(self, media: ClipMedia) -> ClipFeature:
        """Sample and crop; raises MediaError where there is no usable video."""
        faces = media.faces(self.specs[0].frames)
        return ClipFeature(faces.crops[None], present=True, flags=faces.flags)

    def finish(self, prepared: Sequence[ClipFeature]) -> list[tuple[ClipFeature, ...]]:
        """The crops as they are."""
        return [(feature,) for feature in prepared]

    def absent(self, *flags: str) -> tuple[ClipFeature, ...]:
        """Black crops."""
        frames = self.specs[0].frames
        shape = (1, int(frames.frames), frames.size, frames.size, 3)  # the spec refuses `all`
        return (masked(np.zeros(shape, dtype=np.uint8), flags),)


class FaceReader(EncoderReader):
    """A frozen visual encoder over face crops: hidden states and output out of one pass."""

    trials = staticmethod(picture_trials)
    """What bf16 is proved by, see `mer.encoders.bf16_proof`."""

    def __init__(
        self, specs: Sequence[FeatureSpec], resolved: ResolvedWeights, placement: Placement = ON_CPU
    ) -> None:
        self.encoder = load_visual(resolved, placement)
        if specs[0].tokens == "all":
            self.encoder.layers()  # refuses encoders whose tokens nothing could go on from
        batches = FittingBatches(GPU_BATCH_FRAMES if placement.on_gpu else 0.0)
        super().__init__(specs, self.encoder.layer_count, batches)

    def prepare(self, media: ClipMedia) -> Pieces:
        """Sample and crop; raises MediaError where there is no usable video."""
        faces = media.faces(self.specs[0].frames)
        items = self.encoder.pieces(faces.crops)
        return Pieces(items, [float(len(item)) for item in items], faces.flags)

    def encode(self, items: list[Any]) -> list[Rows]:
        """One pass over a batch of pieces, which stops below the last layer where only states are read."""
        output = any(spec.layers == "output" for spec in self.specs)
        states, vectors = self.encoder.read(
            np.concatenate(items), self.state_indices(), output=output, tokens=self.specs[0].tokens
        )
        rows, start = [], 0
        per_row = self._tokens_per_row(states, sum(self.encoder.rows(len(item)) for item in items))
        for item in items:
            stop = start + per_row * self.encoder.rows(len(item))
            values = [
                pooled(
                    [vectors[start:stop]]
                    if spec.layers == "output" and vectors is not None
                    else [states[index][start:stop] for index in indices],
                    spec,
                )
                for spec, indices in zip(self.specs, self.states, strict=True)
            ]
            rows.append(Rows(values, stop - start))
            start = stop
        return rows

    def _tokens_per_row(self, states: dict[int, Tensor], rows: int) -> int:
        """1, unless all tokens of every row are kept."""
        return len(next(iter(states.values()))) // rows if self.specs[0].tokens == "all" else 1

    def state_indices(self) -> tuple[int, ...]:
        """Hidden states that any spec asks for; the output is no hidden state here."""
        pairs = zip(self.specs, self.states, strict=True)
        return tuple(sorted({index for spec, states in pairs if spec.layers != "output" for index in states}))

    def width(self, spec: FeatureSpec) -> int:
        """Features of the output, or of a hidden state."""
        return self.encoder.output_width if spec.layers == "output" else self.encoder.width
