"""What is said in a clip, by a recogniser."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mer.clips import Clip
from mer.errors import MediaError
from mer.media.contained import shared_media
from mer.media.failures import failures_of
from mer.transcription.recogniser import Recogniser


def listen(recogniser: Recogniser, path: Path) -> str:
    """Text of a media file's sound; empty where nothing is said, or where no sound can be decoded (with a warning).

    Raises:
        MediaError: for a reason that passes (`transient`), or because the recogniser failed: nothing is known of what is said.
    """
    try:
        with failures_of(path.name):
            sound = shared_media().decode_audio(path)
    except MediaError as error:
        if error.transient:
            raise
        logging.getLogger(__name__).warning("%s is not transcribed: %s", path.name, error)
        return ""
    with failures_of(path.name):
        return recogniser.transcribe(sound)


def heard_or_none(recogniser: Recogniser, path: Path) -> str | None:
    """What `listen` says; None, with a warning, where it cannot say: one clip never ends a batch."""
    try:
        return listen(recogniser, path)
    except MediaError as error:
        logging.getLogger(__name__).warning("%s is not transcribed now: %s", path.name, error)
        return None


def with_transcripts(clips: Sequence[Clip], recogniser: Recogniser) -> list[Clip]:
    """The clips, those without a transcript listened to."""
    return [
        clip
        if clip.transcript is not None
        else replace(clip, transcript=heard_or_none(recogniser, clip.path))
        for clip in clips
    ]
