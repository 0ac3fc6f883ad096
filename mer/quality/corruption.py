"""The NOISE condition of the MER challenges as a view of a data set: babble over the speech, blur over the picture.

Source: Lian et al., "MER 2023: Multi-label Learning, Modality Robustness, and Semi-Supervised Learning", section on
MER-NOISE (noise at 5-10 dB; blur by factor 1, 2 or 4), and its successor of 2024. The challenge does not publish its
code. Our reading: babble is other clips of the corpus spoken at the same time; blur by factor f is scaling both sides
down by f (area average) and back up (bilinear), so that factor 1 leaves the picture alone.

Everything is drawn from (seed, the clip's content), so a clip has the same noise in every run, on every machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from mer.errors import ConfigError

if TYPE_CHECKING:
    from mer.media.audio import Waveform


@dataclass(frozen=True)
class Talker:
    """A clip whose speech may become babble."""

    content: str
    speaker: str | None


@dataclass(frozen=True)
class ClipNoise:
    """Corruptions of one clip."""

    content: str
    snr_db: float
    talkers: tuple[str, ...]
    """Contents of the babble."""
    blur_factor: int
    seed: int

    def corrupt_waveform(self, waveform: Waveform, talkers: Sequence[Waveform]) -> Waveform:
        """Mix the talkers' speech (in the order of `talkers`, same rate) under mono float32 (time,)."""
        babble = babble_of(talkers, waveform.size, clip_generator(self.seed, self.content, "offsets"))
        return mix_at_snr(waveform, babble, self.snr_db)

    def corrupt_frames(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Blur uint8 (frames, height, width, 3)."""
        return blur(frames, self.blur_factor)


class NoiseView(BaseModel):
    """A corrupted view of a corpus; part of what decides a feature's values, together with `pool_digest`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_snr_db: float = Field(
        default=5.0, ge=-20, le=60, description="Loudest babble: speech over babble, dB."
    )
    max_snr_db: float = Field(
        default=10.0, ge=-20, le=60, description="Softest babble: speech over babble, dB."
    )
    talkers: int = Field(default=4, ge=1, le=32, description="Other clips that make up the babble (number).")
    blur_factors: tuple[int, ...] = Field(
        default=(1, 2, 4), min_length=1, description="Blur of the picture, each as likely; 1 is none."
    )
    seed: int = Field(default=0, ge=0, description="Another seed draws another noise for every clip.")

    @model_validator(mode="after")
    def _consistent(self) -> NoiseView:
        if self.min_snr_db > self.max_snr_db:
            raise ValueError("expected min_snr_db <= max_snr_db")
        if min(self.blur_factors) < 1:
            raise ValueError("blur_factors: expected whole numbers >= 1")
        return self

    def draw(self, clip: Talker, pool: Iterable[Talker]) -> ClipNoise:
        """Noise of one clip.

        Talkers are the clips of the pool with the lowest hash of (seed, clip, talker), so that a clip added to the
        pool changes few others; one per speaker as long as there are enough speakers. Never the clip itself, nor its
        speaker where that is known.

        Raises:
            ConfigError: nobody in the pool may talk.
        """
        generator = clip_generator(self.seed, clip.content, "draw")
        return ClipNoise(
            content=clip.content,
            snr_db=float(generator.uniform(self.min_snr_db, self.max_snr_db)),
            talkers=self._talkers(clip, pool),
            blur_factor=int(generator.choice(np.array(self.blur_factors))),
            seed=self.seed,
        )

    def _talkers(self, clip: Talker, pool: Iterable[Talker]) -> tuple[str, ...]:
        strangers = {
            other.content: other.speaker
            for other in pool
            if other.content != clip.content and (clip.speaker is None or other.speaker != clip.speaker)
        }
        if not strangers:
            raise ConfigError(
                f"babble for clip {clip.content}: expected clips of other speakers in the pool, found none"
            )
        ranked = sorted(strangers, key=lambda other: (_digest(self.seed, clip.content, other), other))
        first_of_speaker: dict[str, str] = {}
        for other in ranked:
            first_of_speaker.setdefault(strangers[other] or other, other)
        different = list(first_of_speaker.values())
        rest = [other for other in ranked if other not in set(different)]
        return tuple([*different, *rest][: self.talkers])


def pool_digest(pool: Iterable[Talker]) -> str:
    """sha256 (hex) of who may talk: with the view, all that decides the noise of every clip."""
    lines = sorted(f"{talker.content} {talker.speaker or ''}" for talker in pool)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def babble_of(talkers: Sequence[Waveform], size: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Several voices at once, float64 (size,): each at the same power, begun at a random place and repeated.

    Silent talkers add nothing.

    Raises:
        ValueError: no talker.
    """
    if not talkers:
        raise ValueError("expected at least one talker")
    total = np.zeros(size)
    for voice in talkers:
        start = int(generator.integers(max(1, voice.size)))  # drawn for silent ones too: others do not change
        power = float(np.mean(np.square(voice, dtype=np.float64))) if voice.size else 0.0
        if power > 0:
            total += np.resize(np.roll(voice.astype(np.float64), -start), size) / np.sqrt(power)
    return total


def mix_at_snr(speech: Waveform, noise: NDArray[np.floating], snr_db: float) -> Waveform:
    """Add noise so that power of speech over power of noise, over the whole clip, is `snr_db` exactly.

    A mixture whose peak exceeds 1 is scaled to 1 as a whole, which leaves the ratio alone. Silent speech or noise is
    returned, or left, as it is.

    Args:
        speech: float32 (time,).
        noise: (time,) of any level.
        snr_db: decibels.
    """
    clean = speech.astype(np.float64)
    speech_power, noise_power = float(np.mean(clean**2)), float(np.mean(np.square(noise, dtype=np.float64)))
    if speech_power == 0 or noise_power == 0:
        return speech
    mixture = clean + noise * np.sqrt(speech_power / noise_power * 10 ** (-snr_db / 10))
    return np.asarray(mixture / max(1.0, float(np.abs(mixture).max())), dtype=np.float32)


def blur(frames: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Scale each picture down by `factor` and back up; uint8 (frames, height, width, 3) in and out.

    Args:
        frames: RGB.
        factor: >= 1; 1 returns the frames themselves.
    """
    import cv2

    if factor < 1:
        raise ValueError(f"expected factor >= 1, found {factor}")
    if factor == 1:
        return frames
    height, width = frames.shape[1:3]
    small = max(1, round(width / factor)), max(1, round(height / factor))
    return np.stack(
        [
            cv2.resize(
                cv2.resize(frame, small, interpolation=cv2.INTER_AREA),
                (width, height),
                interpolation=cv2.INTER_LINEAR,
            )
            for frame in frames
        ]
    ).astype(np.uint8, copy=False)


def _digest(*items: object) -> bytes:
    return hashlib.sha256("\x1f".join(str(item) for item in items).encode()).digest()


def clip_generator(seed: int, content: str, purpose: str) -> np.random.Generator:
    """Draws of one content for one purpose: the same in every run, unmoved by what else is drawn."""
    return np.random.default_rng(int.from_bytes(_digest(seed, content, purpose)[:16], "big"))
