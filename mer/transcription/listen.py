"""What is said in a clip, by a recogniser."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mer.clips import Clip
from mer.errors import MediaError
from mer.media.audio import decode_audio
from mer.transcription.recogniser import Recogniser


def listen(recogniser: Recogniser, path: Path) -> str:
    """Text of a media file's sound; empty where nothing is said, or where no sound can be decoded (with a warning)."""
    try:
        return recogniser.transcribe(decode_audio(path))
    except MediaError as error:
        logging.getLogger(__name__).warning("%s is not transcribed: %s", path.name, error)
        return ""


def with_transcripts(clips: Sequence[Clip], recogniser: Recogniser) -> list[Clip]:
    """The clips, those without a transcript listened to."""
    return [
        clip if clip.transcript is not None else replace(clip, transcript=listen(recogniser, clip.path))
        for clip in clips
    ]
