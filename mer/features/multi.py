"""Several features of a clip out of one decoding and one pass per encoder.

Specs that share modality, source, precision and preparation are read out of one pass (UTT, FRA and several
layer sets), other preparations of a clip's sound (speeds) are passes of one encoder in memory, and all encoders
of a clip share its decoding. While clips are encoded, the next ones are decoded (`mer.features.decoding_ahead`): which clips
are encoded together is a matter of their order alone, so the features are those of clips that are decoded one after another.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mer.clips import Clip
from mer.encoders.placement import Placement, computed_in
from mer.errors import MediaError
from mer.features.clip_feature import ClipFeature, media_warning
from mer.features.clip_media import ClipMedia, FaceDetectors, Inspector
from mer.features.decoding_ahead import Bounds, DecodingAhead, bounds_for
from mer.features.reader import EncoderReader, Reader
from mer.features.readers import open_reader
from mer.features.spec import FeatureSpec
from mer.media.contained import ContainedMedia
from mer.media.failures import failures_of

GPU_CLIPS = 64
"""Clips of one round of batches on a GPU; a processor takes one clip at a time."""

GPU_AHEAD, CPU_AHEAD = 2, 8
"""Rounds decoded while another is computed."""

Ahead = DecodingAhead[list[Any]]
"""What each reader prepared of each clip, or the MediaError it met."""


class MultiExtractor:
    """Features of several specs, every stream decoded once and every encoder run once per clip.

    Args:
        specs: in the order of the results.
        weights_cache: folder of converted weights, see `resolve_weights`.
        device: `auto`, `cpu`, `cuda`, ...; see `mer.encoders.placement.choose_placement`.
        decoder: processes that decode; None: those that all threads of this process share.
        inspector: adds flags to what was decoded; none: no further ones.
    """

    def __init__(
        self,
        specs: Sequence[FeatureSpec],
        weights_cache: Path,
        device: str = "auto",
        decoder: ContainedMedia | None = None,
        inspector: Inspector | None = None,
    ) -> None:
        self.specs = tuple(specs)
        self._decoder = decoder
        self._inspector = inspector
        self.readers: list[Reader] = []
        self.placements: list[Placement] = []
        self.encoding_seconds = 0.0
        """How long clips were encoded, without waiting for them."""
        self._detectors = FaceDetectors(weights_cache)
        self._spec_numbers: list[list[int]] = []
        groups: dict[Any, list[int]] = {}
        for number, spec in enumerate(self.specs):
            groups.setdefault(_shared(spec), []).append(number)
        encoders: dict[Any, tuple[Reader, Placement]] = {}
        for spec_numbers in groups.values():
            alike = [self.specs[spec_number] for spec_number in spec_numbers]
            encoder = _encoder(alike[0])
            opened = _beside(encoders.get(encoder), alike) or open_reader(alike, weights_cache, device)
            encoders.setdefault(encoder, opened)
            reader, placement = opened
            self.readers.append(reader)
            self.placements.append(placement)
            self._spec_numbers.append(spec_numbers)
        for spec in self.specs:  # a detector that is not there is an error now, not at the first clip
            self._detectors.get(spec.detector)

    def extract(self, clip: Clip) -> tuple[ClipFeature, ...]:
        """One feature per spec; a stream whose media fails is absent, flagged with the reason."""
        return self._finished([clip], [self._prepared(clip)])[0]

    def extract_strictly(self, clip: Clip) -> tuple[ClipFeature, ...]:
        """The same, but raises MediaError where any stream fails."""
        prepared = self._prepared(clip)
        if failed := [item for item in prepared if isinstance(item, MediaError)]:
            raise failed[0]
        return self._finished([clip], [prepared])[0]

    def extract_all(self, clips: Sequence[Clip]) -> Iterator[tuple[ClipFeature, ...]]:
        """`extract` of each clip, in order; the next clips are decoded while one is computed."""
        with self.decoding(clips) as ahead:
            yield from self.extract_decoded(clips, ahead)

    def decoding(self, clips: Iterable[Clip], bounds: Bounds | None = None) -> Ahead:
        """Decode these clips ahead of `extract_decoded`; a context that ends with its threads. `bounds`: None: what suits."""
        import torch

        if bounds is not None:
            return DecodingAhead(self._prepared, clips, bounds)
        on_gpu = any(placement.on_gpu for placement in self.placements)
        size, rounds = (GPU_CLIPS, GPU_AHEAD) if on_gpu else (1, CPU_AHEAD)
        threads = torch.get_num_threads()
        return self.decoding(clips, bounds_for(size, rounds, on_gpu=on_gpu, compute_threads=threads))

    def extract_decoded(self, clips: Sequence[Clip], ahead: Ahead) -> Iterator[tuple[ClipFeature, ...]]:
        """`extract` of each clip; these are the next ones of `ahead`, and what follows them there is decoded meanwhile."""
        size = GPU_CLIPS if any(placement.on_gpu for placement in self.placements) else 1
        for start in range(0, len(clips), size):
            batch = clips[start : start + size]
            prepared = ahead.take(len(batch))
            began = time.monotonic()
            features = self._finished(batch, prepared)
            self.encoding_seconds += time.monotonic() - began
            yield from features

    def arithmetic(self, number: int) -> dict[str, str]:
        """What the feature of spec `number` is computed in here, as its shards say it; empty where no encoder gives it."""
        if not self.specs[number].encoded:
            return {}
        groups = zip(self._spec_numbers, self.placements, strict=True)
        return computed_in(next(placement for spec_numbers, placement in groups if number in spec_numbers))

    def absent(self, *flags: str) -> tuple[ClipFeature, ...]:
        """The masked features of a clip without any stream."""
        features: dict[int, ClipFeature] = {}
        for reader, spec_numbers in zip(self.readers, self._spec_numbers, strict=True):
            features.update(zip(spec_numbers, reader.absent(*flags), strict=True))
        return tuple(features[spec_number] for spec_number in range(len(self.specs)))

    def _prepared(self, clip: Clip) -> list[Any]:
        """What each reader prepared of the clip, or the MediaError it met; one that passes is tried once more."""
        prepared: list[Any] = []
        for _ in range(2):
            media = ClipMedia(clip, self._detectors, self._decoder, self._inspector)
            prepared = [_prepared_or_error(reader, media) for reader in self.readers]
            if not _passing(prepared):
                break
        return prepared

    def _finished(
        self, clips: Sequence[Clip], prepared: Sequence[list[Any]]
    ) -> list[tuple[ClipFeature, ...]]:
        by_spec: list[dict[int, ClipFeature]] = [{} for _ in clips]
        for number, (reader, spec_numbers) in enumerate(zip(self.readers, self._spec_numbers, strict=True)):
            sound = [row for row in range(len(clips)) if not isinstance(prepared[row][number], MediaError)]
            features = reader.finish([prepared[row][number] for row in sound])
            done = dict(zip(sound, features, strict=True))
            for row, clip in enumerate(clips):
                values = done[row] if row in done else _masked(reader, clip, prepared[row][number])
                by_spec[row].update(zip(spec_numbers, values, strict=True))
        return [tuple(row[spec_number] for spec_number in range(len(self.specs))) for row in by_spec]


def _shared(spec: FeatureSpec) -> Any:
    """What specs read out of one pass have in common."""
    if not spec.encoded:
        return spec
    preparation = {"acoustic": spec.audio, "visual": spec.frames}.get(spec.modality)
    return spec.modality, spec.source, spec.precision, spec.tokens, spec.prompt, preparation


def _encoder(spec: FeatureSpec) -> Any:
    """What specs that one encoder in memory may serve have in common."""
    return (spec.modality, spec.source, spec.precision, spec.tokens, spec.prompt) if spec.encoded else spec


def _beside(
    opened: tuple[Reader, Placement] | None, specs: Sequence[FeatureSpec]
) -> tuple[Reader, Placement] | None:
    """A reader of another preparation by an encoder that is in memory; None where it has to be loaded."""
    if opened is None or not isinstance(opened[0], EncoderReader):
        return None
    reader = opened[0].beside(specs)
    return None if reader is None else (reader, opened[1])


def _prepared_or_error(reader: Reader, media: ClipMedia) -> Any:
    try:
        with failures_of(media.clip.name):
            return reader.prepare(media)
    except MediaError as error:
        return error


def _masked(reader: Reader, clip: Clip, error: MediaError) -> tuple[ClipFeature, ...]:
    media_warning(reader.specs[0], clip, error)
    absent = reader.absent(str(error.reason))
    return tuple(replace(feature, transient=error.transient) for feature in absent)


def _passing(prepared: Sequence[Any]) -> bool:
    return any(isinstance(item, MediaError) and item.transient for item in prepared)
