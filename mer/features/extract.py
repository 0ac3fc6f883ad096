"""Extractors by source: a spec becomes something that turns clips into features."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from mer.clips import Clip
from mer.errors import MediaError
from mer.features.clip_feature import ClipFeature, Extractor
from mer.features.spec import CROPS_SOURCE, FeatureSpec

__all__ = ["ClipFeature", "Extractor", "build_extractor", "extract_clips"]


def build_extractor(spec: FeatureSpec, weights_cache: Path) -> Extractor:
    """Load what `spec` needs (once; extractors are reused for many clips).

    Args:
        spec: the feature.
        weights_cache: folder of converted weights, see `resolve_weights`.

    Raises:
        ConfigError: the source gives no such feature.
        WeightsError: weights or face detector absent or unsafe.
    """
    from mer.encoders.weights import resolve_weights

    if spec.precomputed:
        from mer.features.precomputed import PrecomputedExtractor

        return PrecomputedExtractor(spec)
    if spec.source == CROPS_SOURCE:
        from mer.features.faces import CropExtractor

        return CropExtractor(spec)
    resolved = resolve_weights(spec.source, weights_cache)
    if spec.modality == "acoustic":
        from mer.features.speech import SpeechExtractor

        return SpeechExtractor(spec, resolved)
    if spec.modality == "visual":
        from mer.features.faces import FaceExtractor

        return FaceExtractor(spec, resolved)
    from mer.features.text import TextExtractor

    return TextExtractor(spec, resolved)


def extract_clips(extractor: Extractor, clips: Sequence[Clip]) -> list[ClipFeature]:
    """Features in the order of `clips`; a clip whose media fails is absent, flagged with the reason, and the
    rest go on.
    """
    return [_extract_or_mask(extractor, clip) for clip in clips]


def _extract_or_mask(extractor: Extractor, clip: Clip) -> ClipFeature:
    try:
        return extractor.extract(clip)
    except MediaError as error:
        logging.getLogger(__name__).warning(
            "%s features of clip %r are masked (%s): %s",
            extractor.spec.modality,
            clip.name,
            error.reason,
            error,
        )
        return extractor.absent(str(error.reason))
