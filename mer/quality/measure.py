"""Quality of one clip: what filters and reports need to know of it beyond its labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mer.errors import MediaError, QuarantineReason
from mer.media.audio import SPEECH_RATE, Waveform
from mer.media.contained import ContainedMedia, shared_media
from mer.media.faces import FaceDetector
from mer.media.failures import failures_of
from mer.quality.speech_activity import detect_speech

QUALITY_VERSION = 1
"""Raised whenever the same clip would get other values: older measurements are then made again."""

Decoded = TypeVar("Decoded")

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_ABSENT = frozenset(
    {QuarantineReason.NO_AUDIO, QuarantineReason.NO_USABLE_STREAM, QuarantineReason.DECODE_FAILED}
)


@dataclass(frozen=True, kw_only=True)
class ClipQuality:
    """Quality of one clip. None: the clip lacks the stream, or nothing was there to measure."""

    duration_seconds: float
    """Of the longest stream."""
    speech_seconds: float | None
    """Time in which somebody speaks; see `mer.quality.speech_activity`."""
    snr_db: float | None
    """Speech power over noise power, decibels, within [-10, 60]; None without speech as well."""
    face_share: float | None
    """Share of sampled frames in which a face was detected, 0..1; None without a detector as well."""
    brightness: float | None
    """Mean luma of the sampled frames, 0 (black) .. 1 (white)."""


def measure_quality(
    path: Path,
    detector: FaceDetector | None = None,
    *,
    frames: int = 8,
    max_seconds: float = 600.0,
    contained: ContainedMedia | None = None,
) -> ClipQuality:
    """Measure a clip.

    Args:
        path: media file.
        detector: finds faces; None leaves `face_share` out.
        frames: sampled uniformly for faces and brightness.
        max_seconds: of sound that are listened to.
        contained: decodes in processes of its own, within its limits; None: those that this process shares.

    Raises:
        MediaError: the file cannot be used at all (see `mer.media.probe.probe`), or whatever `contained` raises
            for a decoder that crashed or hung. A stream that is absent or
            cannot be decoded only leaves its values out. What else fails over the clip is `decode_failed`.
    """
    media = contained or shared_media()
    with failures_of(path.name):
        return _measured(path, detector, frames, max_seconds, media)


def _measured(
    path: Path, detector: FaceDetector | None, frames: int, max_seconds: float, media: ContainedMedia
) -> ClipQuality:
    streams = media.probe(path)
    waveform: Waveform | None = None
    pictures: NDArray[np.uint8] | None = None
    if streams.has_audio:
        waveform = _if_present(lambda: media.decode_audio(path, max_seconds=max_seconds))
    if streams.has_video:
        pictures = _if_present(lambda: media.sample_frames(path, frames))
    return quality_of(streams.duration_seconds, waveform, pictures, detector)


def quality_of(
    duration_seconds: float,
    waveform: Waveform | None,
    pictures: NDArray[np.uint8] | None,
    detector: FaceDetector | None = None,
) -> ClipQuality:
    """Measure what has been decoded already.

    Args:
        duration_seconds: of the clip.
        waveform: float32 (time,) at 16 kHz; None without audio.
        pictures: uint8 (frames, height, width, 3) RGB; None without video.
        detector: finds faces; None leaves `face_share` out.
    """
    speech = detect_speech(waveform, SPEECH_RATE) if waveform is not None else None
    return ClipQuality(
        duration_seconds=duration_seconds,
        speech_seconds=speech.speech_seconds if speech else None,
        snr_db=speech.snr_db if speech else None,
        face_share=_face_share(pictures, detector) if pictures is not None and detector is not None else None,
        brightness=brightness(pictures) if pictures is not None else None,
    )


def brightness(pictures: NDArray[np.uint8]) -> float:
    """Mean luma of uint8 (frames, height, width, 3) RGB, 0..1."""
    return float(pictures.reshape(-1, 3).mean(axis=0) @ _LUMA / 255)


def _face_share(pictures: NDArray[np.uint8], detector: FaceDetector) -> float:
    return float(np.mean([bool(detector.detect(picture)) for picture in pictures]))


def _if_present(decode: Callable[[], Decoded]) -> Decoded | None:
    try:
        return decode()
    except MediaError as error:
        if error.reason in _ABSENT:
            return None
        raise
