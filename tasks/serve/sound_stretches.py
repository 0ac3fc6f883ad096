"""What the sound alone says of a clip, stretch by stretch: where in time an answer comes from, for systems of every kind.

Systems pool over time before they fuse, so most have no attention over frames to show: each stretch is asked about by itself.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mer.clips import Clip
from mer.errors import MediaError
from mer.media.audio import SPEECH_RATE
from mer.media.contained import shared_media
from mer.predictions import Prediction
from tasks.serve.served_model import ServedModel

MOST_STRETCHES, LEAST_SECONDS = 8, 1.0
_LONGEST_SECONDS = 60.0


@dataclass(frozen=True)
class Stretch:
    """A part of a clip's sound, and the answer for it alone."""

    begin: float
    """Seconds."""
    end: float
    """Seconds."""
    prediction: Prediction


def sound_stretches(model: ServedModel, clip: Clip) -> tuple[Stretch, ...]:
    """Answers for up to eight equal stretches of at least a second; none where there is one only, no sound, or no model for it.

    Args:
        model: what answers; one that cannot do without the other modalities gives none.
        clip: decoded once more, in a process of its own.
    """
    if not model.predictor.package.recipe.hears or not model.predictor.system.abilities.missing_streams:
        return ()
    try:
        sound = shared_media().decode_audio(clip.path, max_seconds=_LONGEST_SECONDS)
    except MediaError:
        return ()
    count = min(MOST_STRETCHES, int(len(sound) / SPEECH_RATE / LEAST_SECONDS))
    if count < 2:
        return ()
    parts = np.array_split(sound, count)
    ends = np.cumsum([len(part) for part in parts]) / SPEECH_RATE
    with tempfile.TemporaryDirectory(prefix="mer-stretches-") as folder:
        clips = [_written(Path(folder), number, part) for number, part in enumerate(parts)]
        answers = model.answer(clips)
    begins = [0.0, *ends[:-1].tolist()]
    return tuple(
        Stretch(begin, end, answer) for begin, end, answer in zip(begins, ends.tolist(), answers, strict=True)
    )


def _written(folder: Path, number: int, part: np.ndarray) -> Clip:
    """The stretch as a clip without words: nothing listens to it."""
    import soundfile

    path = folder / f"{number}.wav"
    soundfile.write(path, part, SPEECH_RATE)
    return Clip(
        name=f"stretch{number}", content=f"stretch{number}", path=path, corpus_root=folder, transcript=""
    )
