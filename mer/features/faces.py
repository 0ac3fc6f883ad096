"""Face features: frames spread over the clip, one face cut out of each, then an encoder or the crops
themselves.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mer.clips import Clip
from mer.encoders.hidden_states import state_indices
from mer.encoders.visual import Crops, load_visual
from mer.encoders.weights import ResolvedWeights
from mer.features.clip_feature import ClipFeature, masked
from mer.features.pooling import pooled, pooled_zeros
from mer.features.spec import HAAR, FeatureSpec, FramePreparation
from mer.media.faces import FaceCrops, FaceDetector, HaarDetector, YuNetDetector, face_crops
from mer.media.frames import sample_frames


class CropExtractor:
    """`crops:`, the input of trainable visual encoders: uint8 (1, frames, size, size, 3)."""

    def __init__(self, spec: FeatureSpec) -> None:
        self.spec = spec
        self._detector = open_detector(spec.frames)

    def extract(self, clip: Clip) -> ClipFeature:
        """Sample and crop; raises MediaError where there is no usable video."""
        found = clip_faces(clip, self.spec.frames, self._detector)
        return ClipFeature(found.crops[None], present=True, flags=found.flags)

    def absent(self, *flags: str) -> ClipFeature:
        """Black crops."""
        size = self.spec.frames.size
        return masked(np.zeros((1, self.spec.frames.frames, size, size, 3), dtype=np.uint8), flags)


class FaceExtractor:
    """A frozen picture encoder on every face crop, pooled over frames or framewise."""

    def __init__(self, spec: FeatureSpec, resolved: ResolvedWeights) -> None:
        self.spec = spec
        self._detector = open_detector(spec.frames)
        self._encoder = load_visual(resolved)
        self._wanted = state_indices(spec.layers, self._encoder.layer_count)

    def extract(self, clip: Clip) -> ClipFeature:
        """Sample, crop and encode; raises MediaError where there is no usable video."""
        found = clip_faces(clip, self.spec.frames, self._detector)
        return self.encode(found.crops, found.flags)

    def encode(self, crops: Crops, flags: tuple[str, ...] = ()) -> ClipFeature:
        """Feature of crops, uint8 (frames, height, width, 3) RGB."""
        if self.spec.layers == "output":
            states = [self._encoder.output(crops)]
        else:
            states = self._encoder.states(crops, self._wanted)
        return ClipFeature(pooled(states, self.spec), present=True, flags=flags)

    def absent(self, *flags: str) -> ClipFeature:
        """Zeros of the feature's shape."""
        output = self.spec.layers == "output"
        width = self._encoder.output_width if output else self._encoder.width
        return masked(pooled_zeros(self.spec, len(self._wanted), width), flags)


def open_detector(preparation: FramePreparation) -> FaceDetector | None:
    """The face detector a spec names; None stands for pictures that faces already fill."""
    if preparation.detector is None:
        return None
    return HaarDetector() if preparation.detector == HAAR else YuNetDetector(Path(preparation.detector))


def clip_faces(clip: Clip, preparation: FramePreparation, detector: FaceDetector | None) -> FaceCrops:
    """Face crops of a clip, uint8 (frames, size, size, 3) RGB."""
    frames = sample_frames(clip.path, preparation.frames)
    return face_crops(frames, detector, preparation.size, preparation.margin)
