"""A clip for people: the answer, what each modality says alone, what the answer loses without it, and the clip in small.

Pictures and waveform come out of contained decoding; nothing here opens the file itself.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from flows.service.flag_words import flag_in_words, in_words
from mer.clips import Clip
from mer.errors import MediaError
from mer.media.contained import shared_media
from mer.predictions import Prediction

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mer.predictor.modality_shares import ModalityShare
    from mer.predictor.over_time import OverTime
    from tasks.serve.sound_stretches import Stretch

PEAKS, PICTURES, PICTURE_PIXELS = 240, 8, 128
_RATE = 8_000
_LONGEST_SECONDS = 120.0


class ExplainedModality(BaseModel):
    """What one modality says of a clip."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    modality: str = Field(description="acoustic, visual, lexical, or another.", examples=["acoustic"])
    streams: tuple[str, ...] = Field(description="The model's streams of this modality.")
    present: bool = Field(description="Whether it is read of this clip; what says nothing (silence) is not.")
    flags: tuple[str, ...] = Field(description="What is odd about it.")
    words: tuple[str, ...] = Field(default=(), description="The flags in words.")
    alone: dict[str, float] | None = Field(
        description="Class -> probability by this modality alone; null: it is absent, or the model cannot do without others."
    )
    valence_alone: float | None = Field(
        description="Valence by it alone, -5 to 5; null as above, or where none was learnt."
    )
    weight: float = Field(description="What its streams weigh together, on the scale of the model.")
    lost: float | None = Field(
        description="Probability that the answer loses without it, negative where it speaks against; null: not known."
    )


class Picture(BaseModel):
    """One picture of the clip."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: float = Field(ge=0, description="When, about.")
    jpeg: str = Field(description="JPEG, base64.")


class ClipInSmall(BaseModel):
    """Waveform and pictures of the clip."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: float | None = Field(ge=0, description="Duration; null: not known.")
    peaks: tuple[float, ...] = Field(
        description="Largest absolute amplitude of equal stretches, 0 to 1; empty: no sound."
    )
    pictures: tuple[Picture, ...] = Field(description="At the middles of equal parts; empty: no pictures.")


class SoundStretch(BaseModel):
    """A part of the sound, and what it alone says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    begin: float = Field(ge=0, description="Seconds.")
    end: float = Field(ge=0, description="Seconds.")
    discrete: str = Field(description="The most probable class.")
    probabilities: dict[str, float]


class LostOverTime(BaseModel):
    """What the answer loses without each stretch of one modality; the stretches are equal parts of the clip."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    modality: str = Field(description="acoustic or visual.", examples=["acoustic"])
    lost: tuple[float, ...] = Field(
        description="Probability that the answer loses where the stretch is cut out of the sound, or its pictures give way to "
        "the nearest others; negative where it speaks against the answer."
    )


class FrameWeights(BaseModel):
    """How the model weighs the frames of one stream."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stream: str = Field(examples=["visual"])
    modality: str = Field(examples=["visual"])
    weights: tuple[float, ...] = Field(
        description="Share of the attention of each frame, in their order, in sum 1."
    )


class ExplainedClip(BaseModel):
    """The answer for a clip, and what it rests on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prediction: Prediction
    words: tuple[str, ...] = Field(default=(), description="The flags, and a status other than ok, in words.")
    modalities: tuple[ExplainedModality, ...] = ()
    transcript: str | None = Field(default=None, description="What was known to be spoken.")
    stretches: tuple[SoundStretch, ...] = Field(
        default=(),
        description="What the sound alone says, stretch by stretch; empty: too short, or not known.",
    )
    lost: tuple[LostOverTime, ...] = Field(
        default=(),
        description="What the answer loses without each stretch, by modality; empty: too short or too long a clip, or not known.",
    )
    attention: tuple[FrameWeights, ...] = Field(
        default=(),
        description="Attention over frames, by stream; empty: the model pools over time before it fuses, so it has none.",
    )
    media: ClipInSmall | None = Field(default=None, description="Null where the file cannot be read.")


def explained_clip(
    clip: Clip,
    prediction: Prediction,
    shares: Mapping[str, ModalityShare],
    stretches: Sequence[Stretch] = (),
    course: OverTime | None = None,
) -> ExplainedClip:
    """Put the answer into the form above; the file is decoded once more, in a process of its own."""
    classes = tuple(prediction.probabilities)
    return ExplainedClip(
        prediction=prediction,
        words=in_words(prediction),
        modalities=tuple(_explained(name, share, classes) for name, share in shares.items()),
        transcript=clip.transcript,
        stretches=tuple(
            SoundStretch(
                begin=stretch.begin,
                end=stretch.end,
                discrete=stretch.prediction.discrete or "",
                probabilities=stretch.prediction.probabilities,
            )
            for stretch in stretches
        ),
        lost=() if course is None else _lost(course),
        attention=() if course is None else _attention(course),
        media=clip_in_small(clip) if clip.content else None,
    )


def _lost(course: OverTime) -> tuple[LostOverTime, ...]:
    return tuple(
        LostOverTime(modality=modality, lost=tuple(round(float(value), 5) for value in values))
        for modality, values in course.lost.items()
    )


def _attention(course: OverTime) -> tuple[FrameWeights, ...]:
    """At most `PEAKS` weights a stream: of more frames neighbours are added up."""
    import numpy as np

    return tuple(
        FrameWeights(
            stream=stream,
            modality=stream.partition("/")[0],
            weights=tuple(
                round(float(part.sum()), 6) for part in np.array_split(weights, min(PEAKS, len(weights)))
            ),
        )
        for stream, weights in course.attention.items()
    )


def clip_in_small(clip: Clip) -> ClipInSmall:
    """Waveform and pictures; what cannot be decoded is left out, as the model left it out."""
    import numpy as np

    contained = shared_media()
    try:
        probe = contained.probe(clip.path)
    except MediaError:
        return ClipInSmall(seconds=None, peaks=(), pictures=())
    seconds = min(probe.duration_seconds, _LONGEST_SECONDS)
    peaks: tuple[float, ...] = ()
    pictures: tuple[Picture, ...] = ()
    if probe.has_audio:
        try:
            sound = contained.decode_audio(clip.path, sample_rate=_RATE, max_seconds=seconds + 0.01)
            parts = [part for part in np.array_split(np.abs(sound), PEAKS) if part.size]
            peaks = tuple(round(min(1.0, float(part.max())), 4) for part in parts)
        except MediaError:
            peaks = ()
    if probe.has_video:
        try:
            frames = contained.sample_frames(clip.path, PICTURES, max_side=PICTURE_PIXELS)
            step = probe.duration_seconds / len(frames)
            pictures = tuple(
                Picture(seconds=round((row + 0.5) * step, 3), jpeg=_jpeg(frame))
                for row, frame in enumerate(frames)
            )
        except MediaError:
            pictures = ()
    return ClipInSmall(seconds=probe.duration_seconds, peaks=peaks, pictures=pictures)


def _explained(name: str, share: ModalityShare, classes: tuple[str, ...]) -> ExplainedModality:
    alone = None if share.alone is None else dict(zip(classes, map(float, share.alone), strict=True))
    return ExplainedModality(
        modality=name,
        streams=share.streams,
        present=share.present,
        flags=share.flags,
        words=tuple(map(flag_in_words, share.flags)),
        alone=alone,
        valence_alone=share.valence_alone,
        weight=share.weight,
        lost=share.lost,
    )


def _jpeg(picture: NDArray[np.uint8]) -> str:
    import cv2

    done, encoded = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
    return base64.b64encode(encoded.tobytes()).decode("ascii") if done else ""
