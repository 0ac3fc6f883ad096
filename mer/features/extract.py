"""Extractors by source: a spec, or several, become something that turns clips into features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mer.clips import Clip
from mer.errors import MediaError
from mer.features.clip_feature import ClipFeature, Extractor, bearable, media_warning
from mer.features.spec import FeatureSpec
from mer.media.failures import failures_of

if TYPE_CHECKING:
    from mer.features.clip_media import Inspector
    from mer.features.multi import MultiExtractor

__all__ = [
    "ClipFeature", "Extractor", "SpecExtractor", "build_extractor", "build_extractors", "extract_clips",
    "extract_clips_of_each", "features_by_spec",
]  # fmt: skip


class SpecExtractor:
    """One spec's features: an `Extractor`."""

    def __init__(self, spec: FeatureSpec, shared: MultiExtractor) -> None:
        self.spec = spec
        self.shared = shared
        """The same as an extractor of several specs, of which there is one."""

    def extract(self, clip: Clip) -> ClipFeature:
        """See `Extractor.extract`."""
        return self.shared.extract_strictly(clip)[0]

    def absent(self, *flags: str) -> ClipFeature:
        """See `Extractor.absent`."""
        return self.shared.absent(*flags)[0]


def build_extractor(
    spec: FeatureSpec, weights_cache: Path, *, device: str = "auto", inspector: Inspector | None = None
) -> Extractor:
    """Load what `spec` needs (once; extractors are reused for many clips).

    Args:
        spec: the feature.
        weights_cache: folder of converted weights, see `resolve_weights`.
        device: `cpu`, `cuda`, `cuda:1`, or `auto`: a GPU where there is one.
        inspector: adds flags to what is decoded; none: no further ones.

    Raises:
        ConfigError: the source gives no such feature.
        WeightsError: weights or face detector absent or unsafe.
    """
    if spec.precomputed:
        from mer.features.precomputed import PrecomputedExtractor

        return PrecomputedExtractor(spec)
    return SpecExtractor(spec, build_extractors((spec,), weights_cache, device=device, inspector=inspector))


def build_extractors(
    specs: Sequence[FeatureSpec],
    weights_cache: Path,
    *,
    device: str = "auto",
    inspector: Inspector | None = None,
) -> MultiExtractor:
    """Load what several specs need, each encoder once; arguments and errors as for `build_extractor`."""
    from mer.features.multi import MultiExtractor

    return MultiExtractor(specs, weights_cache, device, inspector=inspector)


def extract_clips(extractor: Extractor, clips: Sequence[Clip]) -> list[ClipFeature]:
    """Features in the order of `clips`; a clip whose media fails is absent, flagged with the reason, and the
    rest go on.
    """
    if isinstance(extractor, SpecExtractor):
        features = [each[0] for each in extractor.shared.extract_all(clips)]
    else:
        features = [_extract_or_mask(extractor, clip) for clip in clips]
    return [bearable(feature, extractor.spec, clip) for feature, clip in zip(features, clips, strict=True)]


def extract_clips_of_each(extractor: MultiExtractor, clips: Sequence[Clip]) -> tuple[list[ClipFeature], ...]:
    """For each spec what `extract_clips` gives for it, all out of one pass over the clips."""
    return features_by_spec(extractor, clips, list(extractor.extract_all(clips)))


def features_by_spec(
    extractor: MultiExtractor, clips: Sequence[Clip], rows: Sequence[tuple[ClipFeature, ...]]
) -> tuple[list[ClipFeature], ...]:
    """For each spec the features of the clips, of which `rows` has one per spec; values that are not bearable are left out."""
    return tuple(
        [bearable(row[number], spec, clip) for row, clip in zip(rows, clips, strict=True)]
        for number, spec in enumerate(extractor.specs)
    )


def _extract_or_mask(extractor: Extractor, clip: Clip) -> ClipFeature:
    try:
        with failures_of(clip.name):
            return extractor.extract(clip)
    except MediaError as error:
        media_warning(extractor.spec, clip, error)
        return replace(extractor.absent(str(error.reason)), transient=error.transient)
