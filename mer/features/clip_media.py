"""One clip's streams, decoded once for all features that ask for the same preparation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mer.clips import Clip
from mer.errors import MediaError
from mer.features.augmentation import at_speed
from mer.features.openface import openface_crops
from mer.features.spec import AudioPreparation, FramePreparation
from mer.media.audio import SPEECH_RATE, Waveform, peak_normalise, trim_silence
from mer.media.contained import ContainedMedia, shared_media
from mer.media.detector_choice import OPENFACE, open_detector
from mer.media.faces import DetectedFace, FaceCrops, FaceDetector, face_crops

CUT = "cut"
"""Flag: what lies beyond the longest stretch that is read was left out."""

_BEYOND_SECONDS = 0.25
"""Decoded beyond the limit, to see whether there is more."""

Value = TypeVar("Value")


@dataclass(frozen=True)
class PreparedSound:
    """A waveform as the speech encoder gets it."""

    waveform: Waveform
    """float32 (time,) at 16 kHz."""
    flags: tuple[str, ...]


class Inspector(Protocol):
    """Looks at what was decoded, and flags what a person should know of it; extraction for training has none."""

    def sound(self, waveform: Waveform) -> tuple[str, ...]:
        """Flags of a sound as it was decoded, float32 (time,) at 16 kHz."""
        ...

    def pictures(self, crops: NDArray[np.uint8]) -> tuple[str, ...]:
        """Flags of face crops, uint8 (frames, size, size, 3)."""
        ...


class FaceDetectors:
    """Face detectors by name, each opened once for every thread that detects at the same time.

    Args:
        weights: folder of weights, where the files of detectors lie that are named by content.
    """

    def __init__(self, weights: Path) -> None:
        self._weights = weights
        self._opened: dict[str, FaceDetector | None] = {}
        self._lock = Lock()

    def get(self, name: str | None) -> FaceDetector | None:
        """The detector a preparation names; None where none is run.

        Raises:
            ConfigError: it is not settled (`auto`).
            WeightsError: its file is absent or damaged.
        """
        if name is None:
            return None
        with self._lock:
            if name not in self._opened:
                first = open_detector(name, self._weights)
                self._opened[name] = first and _FreeDetectors(
                    first, partial(open_detector, name, self._weights)
                )
            return self._opened[name]


class _FreeDetectors:
    """A `FaceDetector` of several threads: each takes one that is free, or opens another; all are of one file."""

    def __init__(self, first: FaceDetector, another: Callable[[], FaceDetector | None]) -> None:
        self._free = [first]
        self._another = another

    def detect(self, picture: NDArray[np.uint8]) -> list[DetectedFace]:
        """See `FaceDetector.detect`."""
        try:
            detector = self._free.pop()  # of a list: safe among threads
        except IndexError:
            opened = self._another()
            assert opened is not None  # the first one was one
            detector = opened
        try:
            return detector.detect(picture)
        finally:
            self._free.append(detector)


class ClipMedia:
    """The streams of one clip, decoded in a process of its own; a stream that failed fails again without being decoded again.

    Args:
        clip: whose file may do to its decoder what it likes.
        detectors: opened once for all clips.
        decoder: None: the workers that all threads of this process share.
        inspector: adds flags to what was decoded; None: no further ones.
    """

    def __init__(
        self,
        clip: Clip,
        detectors: FaceDetectors,
        decoder: ContainedMedia | None = None,
        inspector: Inspector | None = None,
    ) -> None:
        self.clip = clip
        self._detectors = detectors
        self._decoder = decoder or shared_media()
        self._inspector = inspector
        self._known: dict[Any, Any] = {}

    def sound(self, preparation: AudioPreparation) -> PreparedSound:
        """Decoded, cut, trimmed and normalised as `preparation` says.

        Raises:
            MediaError: there is no usable sound.
        """
        return self._once(preparation, lambda: self._prepared(preparation))

    def faces(self, preparation: FramePreparation) -> FaceCrops:
        """Face crops, uint8 (frames, size, size, 3) RGB.

        Raises:
            MediaError: there is no usable video, or no crop where OpenFace's are asked for.
        """
        return self._once(preparation, lambda: self._inspected(self._crops(preparation)))

    def _inspected(self, faces: FaceCrops) -> FaceCrops:
        flags = self._inspector.pictures(faces.crops) if self._inspector is not None else ()
        return replace(faces, flags=(*faces.flags, *flags)) if flags else faces

    def _prepared(self, preparation: AudioPreparation) -> PreparedSound:
        limit = preparation.max_seconds
        raw = self._once(("sound", limit), lambda: self._heard(limit + _BEYOND_SECONDS))
        truncated = raw[: round(limit * SPEECH_RATE)]
        flags: tuple[str, ...] = (CUT,) if truncated.size < raw.size else ()
        if (inspector := self._inspector) is not None:
            flags = (*flags, *self._once(("inspected", limit), lambda: inspector.sound(truncated)))
        waveform = prepare_sound(truncated, preparation)
        if preparation.augmented is not None:
            waveform = preparation.augmented.apply(waveform, self.clip.content)
        return PreparedSound(waveform, flags)

    def _crops(self, preparation: FramePreparation) -> FaceCrops:
        if preparation.detector == OPENFACE:
            return openface_crops(self.clip, preparation.frames, preparation.size)
        assert preparation.frames != "all"  # the preparation itself refuses it
        detector = self._detectors.get(preparation.detector)
        count = preparation.frames
        frames = self._once(("frames", count), lambda: self._seen(count))
        return face_crops(frames, detector, preparation.size, preparation.margin, align=preparation.align)

    def _heard(self, seconds: float) -> Waveform:
        sound = self._decoder.decode_audio(self.clip.path, max_seconds=seconds)
        if (mix := self.clip.noise) is None:
            return sound
        return mix.noise.corrupt_waveform(
            sound, [self._decoder.decode_audio(talker, max_seconds=seconds) for talker in mix.talkers]
        )

    def _seen(self, count: int) -> NDArray[np.uint8]:
        frames = self._decoder.sample_frames(self.clip.path, count)
        return frames if self.clip.noise is None else self.clip.noise.noise.corrupt_frames(frames)

    def _once(self, name: Any, make: Callable[[], Value]) -> Value:
        if name not in self._known:
            try:
                self._known[name] = make()
            except MediaError as error:
                self._known[name] = error
        value: Value = self._known[name]
        if isinstance(value, MediaError):
            raise value
        return value


def prepare_sound(waveform: Waveform, preparation: AudioPreparation) -> Waveform:
    """Change speed, trim and normalise as the preparation says; a fresh contiguous array."""
    if preparation.speed != 1.0:
        waveform = at_speed(waveform, preparation.speed)
    if preparation.trim_silence:
        waveform = trim_silence(waveform, SPEECH_RATE)
    if preparation.peak_normalise:
        waveform = peak_normalise(waveform)
    return np.array(waveform, dtype=np.float32)
