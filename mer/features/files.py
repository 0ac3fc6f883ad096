"""Precomputed files among other features of a clip."""

from __future__ import annotations

from collections.abc import Sequence

from mer.features.clip_feature import ClipFeature
from mer.features.clip_media import ClipMedia
from mer.features.precomputed import PrecomputedExtractor
from mer.features.spec import FeatureSpec


class FileReader:
    """`files:` as a `Reader`: nothing is decoded, the file is the feature."""

    def __init__(self, spec: FeatureSpec) -> None:
        self.specs: tuple[FeatureSpec, ...] = (spec,)
        self._extractor = PrecomputedExtractor(spec)

    def prepare(self, media: ClipMedia) -> ClipFeature:
        """Read the clip's file; raises MediaError for one that cannot be used."""
        return self._extractor.extract(media.clip)

    def finish(self, prepared: Sequence[ClipFeature]) -> list[tuple[ClipFeature, ...]]:
        """The features as they are."""
        return [(feature,) for feature in prepared]

    def absent(self, *flags: str) -> tuple[ClipFeature, ...]:
        """Zeros of the folder's width."""
        return (self._extractor.absent(*flags),)
