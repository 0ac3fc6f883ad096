"""One clip's feature, and what extracts it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mer.clips import Clip
from mer.errors import MediaError, QuarantineReason
from mer.features.spec import FeatureSpec
from mer.validation.magnitude import MAX_MAGNITUDE, first_unbearable, is_bearable

NOT_FINITE = "not_finite"
"""Flag of a clip whose features an encoder overflowed on, or that are too large to compute with."""

_NOT_THERE = frozenset({QuarantineReason.NO_AUDIO, QuarantineReason.NO_USABLE_STREAM})
TOO_SHORT = "too_short"
"""Flag: less sound than one frame of the encoder, or than the preparation asks for."""


@dataclass(frozen=True)
class ClipFeature:
    """Values of one clip under one spec."""

    values: NDArray[Any]
    """(T, ...) float32, or uint8 for face crops."""
    present: bool
    """False: the clip has no such stream; the values are zeros (1, ...) and the modality is masked."""
    flags: tuple[str, ...] = ()
    """What is odd about it: `no_face`, `too_short`, `cut`, `no_transcript`, or the reason why it is absent."""
    transient: bool = False
    """Absent for a reason that passes (a decoder killed from outside): not to be stored, another run tries again."""


class Extractor(Protocol):
    """Turns clips into features of one spec."""

    spec: FeatureSpec

    def extract(self, clip: Clip) -> ClipFeature:
        """Extract one clip.

        Raises:
            MediaError: this clip's media (or feature file) cannot be used.
        """
        ...

    def absent(self, *flags: str) -> ClipFeature:
        """The masked feature of a clip that lacks the stream."""
        ...


def masked(values: NDArray[Any], flags: tuple[str, ...]) -> ClipFeature:
    """An absent feature of this shape."""
    return ClipFeature(values=np.zeros_like(values), present=False, flags=flags)


def bearable(feature: ClipFeature, spec: FeatureSpec | None = None, clip: Clip | None = None) -> ClipFeature:
    """The feature, or an absent one where values are NaN, infinite or beyond all measure: one bad clip never ends a run.

    Args:
        feature: of one clip.
        spec: with `clip`, both named in the log where the feature is left out.
        clip: whose feature it is.
    """
    if not feature.present or is_bearable(feature.values).all():
        return feature
    if spec is not None and clip is not None:
        logging.getLogger(__name__).warning(
            "%s features of clip %r are masked (%s): %s: expected values within %g, found %s",
            spec.modality, clip.name, NOT_FINITE, clip.path, MAX_MAGNITUDE, first_unbearable(feature.values),
        )  # fmt: skip
    return masked(feature.values, (*feature.flags, NOT_FINITE))


def media_warning(spec: FeatureSpec, clip: Clip, error: MediaError) -> None:
    """Log that a clip's stream is masked, and why; a track that is simply not there is no reason to warn of every clip."""
    level = logging.INFO if error.reason in _NOT_THERE else logging.WARNING
    logging.getLogger(__name__).log(
        level, "%s features of clip %r are masked (%s): %s", spec.modality, clip.name, error.reason, error
    )
