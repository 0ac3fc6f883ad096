"""The extractor of the shard before: encoders are loaded once for many shards, not once for each."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from mer.features.spec import FeatureSpec
from tasks.stage.compute import Turns

if TYPE_CHECKING:
    from mer.features.multi import MultiExtractor

_cached: dict[tuple[tuple[FeatureSpec, ...], Path], MultiExtractor] = {}
"""At most one; used while it is this process' turn to compute, by one thread at a time."""

_spans = Turns()
"""Taken before a shard's folder and before the turn to compute, by nobody who holds either."""


def one_span_at_a_time() -> AbstractContextManager[None]:
    """Wait for the turn of a span of shards, and keep it: its extractor is let go for no other span of this process."""
    return _spans.turn(follows=False)


def cached_extractor(specs: tuple[FeatureSpec, ...], weights: Path) -> MultiExtractor:
    """The extractor of these specs; another one is let go first, so that two never fill the memory together."""
    from mer.features.extract import build_extractors

    if (specs, weights) not in _cached:
        _cached.clear()
        _cached[specs, weights] = build_extractors(specs, weights)
    return _cached[specs, weights]


def let_go() -> None:
    """Free the memory (and the GPU's, and the decoders') for what comes after extraction."""
    from mer.media.contained import shared_media

    _cached.clear()
    shared_media().rest()
