"""Waveform augmentation: another take of a clip to learn from. Speed, reverberation, noise, gain, in that order.

Reconstruction: the paper of system A names no augmentation of the waveform; the kinds and their ranges are ours, after
what is usual in speech recognition (speed perturbation of a tenth, Ko et al. 2015; noise and simulated rooms, Ko et al. 2017).

What a clip gets is drawn from (seed, variant, the clip's content), each kind from draws of its own: the same in every run
and on every machine, whatever other clips there are, and a changed option of one kind leaves the others' draws alone.
Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from mer.quality.corruption import clip_generator, mix_at_snr

if TYPE_CHECKING:
    from mer.media.audio import Waveform

AUGMENTATION_VERSION = 1
"""Raised whenever the same options would give other sound: variants made before are then not found."""

Colour = Literal["white", "pink"]
LEAST_SPEED, GREATEST_SPEED = 0.5, 2.0
Speed = Annotated[float, Field(ge=LEAST_SPEED, le=GREATEST_SPEED)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]

_DECAY_OF_60_DB = float(np.log(1000.0))


class WaveformAugmentation(BaseModel):
    """What may happen to a clip's sound, and how likely. Each kind is drawn by itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    speed_probability: Probability = Field(default=0.5, description="Of another speed (probability).")
    speeds: tuple[Speed, ...] = Field(
        default=(0.9, 1.1),
        min_length=1,
        description="Times as fast, by resampling (pitch and formants move along); each as likely.",
    )
    reverberation_probability: Probability = Field(default=0.3, description="Of reverberation (probability).")
    min_rt60_seconds: float = Field(
        default=0.1,
        ge=0.02,
        le=5.0,
        description="Shortest time in which reverberation falls by 60 dB, seconds.",
    )
    max_rt60_seconds: float = Field(
        default=0.5,
        ge=0.02,
        le=5.0,
        description="Longest time in which reverberation falls by 60 dB, seconds.",
    )
    direct_db: float = Field(
        default=6.0,
        ge=-20.0,
        le=40.0,
        description="Energy of the direct sound over that of the reverberation, dB.",
    )
    noise_probability: Probability = Field(default=0.5, description="Of noise (probability).")
    noise_colours: tuple[Colour, ...] = Field(
        default=("white", "pink"), min_length=1, description="Spectra of the noise; each as likely."
    )
    min_snr_db: float = Field(
        default=10.0, ge=-20.0, le=80.0, description="Loudest noise: speech over it, dB."
    )
    max_snr_db: float = Field(
        default=30.0, ge=-20.0, le=80.0, description="Softest noise: speech over it, dB."
    )
    gain_probability: Probability = Field(default=0.5, description="Of another loudness (probability).")
    min_gain_db: float = Field(default=-6.0, ge=-60.0, le=20.0, description="Least change of loudness, dB.")
    max_gain_db: float = Field(
        default=0.0,
        ge=-60.0,
        le=20.0,
        description="Greatest change of loudness, dB; a peak beyond 1 is scaled to 1.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> WaveformAugmentation:
        for low, high in (
            ("min_rt60_seconds", "max_rt60_seconds"), ("min_snr_db", "max_snr_db"), ("min_gain_db", "max_gain_db"),
        ):  # fmt: skip
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"expected {low} <= {high}")
        if not any(
            (
                self.speed_probability,
                self.reverberation_probability,
                self.noise_probability,
                self.gain_probability,
            )
        ):
            raise ValueError("expected a probability above 0: nothing would ever change")
        return self

    @property
    def slowest(self) -> float:
        """The lowest speed that may be drawn; 1 is the clip's own."""
        return min(1.0, *self.speeds) if self.speed_probability else 1.0


@dataclass(frozen=True)
class DrawnAugmentation:
    """What one variant of one clip gets; None: that kind was not drawn."""

    speed: float | None
    rt60_seconds: float | None
    colour: Colour
    snr_db: float | None
    gain_db: float | None


class AugmentedVariant(BaseModel):
    """One variant of every clip: part of what decides a feature's values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    augmentation: WaveformAugmentation = Field(description="What may happen to the sound.")
    variant: int = Field(
        default=0, ge=0, description="Number of the variant; each draws anew for every clip."
    )
    seed: int = Field(default=0, ge=0, description="Another seed draws all variants anew.")

    def draw(self, content: str) -> DrawnAugmentation:
        """What clips of this content get."""
        options = self.augmentation
        speed, room, noise, gain = (self._draws(content, kind) for kind in ("speed", "room", "noise", "gain"))
        return DrawnAugmentation(
            speed=float(speed.choice(np.array(options.speeds)))
            if speed.random() < options.speed_probability
            else None,
            rt60_seconds=_between(room, options.min_rt60_seconds, options.max_rt60_seconds)
            if room.random() < options.reverberation_probability
            else None,
            snr_db=_between(noise, options.min_snr_db, options.max_snr_db)
            if noise.random() < options.noise_probability
            else None,
            colour=options.noise_colours[int(noise.integers(len(options.noise_colours)))],
            gain_db=_between(gain, options.min_gain_db, options.max_gain_db)
            if gain.random() < options.gain_probability
            else None,
        )

    def apply(self, waveform: Waveform, content: str) -> Waveform:
        """The clip's sound in this variant.

        Silence stays silence. Everything but another speed keeps the length: a room's tail beyond the end is cut.

        Args:
            waveform: mono float32 (time,) at 16 kHz.
            content: of the clip; what the draws belong to.

        Returns:
            float32 (time / speed,), at least one sample where there was one, within [-1, 1] where anything was drawn
            but another speed alone.

        Raises:
            ValueError: several channels; sound is mixed down where it is decoded.
        """
        if waveform.ndim != 1:
            raise ValueError(f"expected a mono waveform (time,), found shape {waveform.shape}")
        if waveform.size == 0:
            return waveform
        drawn = self.draw(content)
        if drawn.speed is not None:
            waveform = at_speed(waveform, drawn.speed)
        if drawn.rt60_seconds is not None:
            draws = self._draws(content, "tail")
            waveform = reverberate(waveform, drawn.rt60_seconds, self.augmentation.direct_db, draws)
        if drawn.snr_db is not None:
            noise = coloured_noise(drawn.colour, waveform.size, self._draws(content, "hiss"))
            waveform = mix_at_snr(waveform, noise, drawn.snr_db)
        if drawn.gain_db is not None:
            waveform = _within_one(waveform.astype(np.float64) * 10 ** (drawn.gain_db / 20))
        return waveform

    def _draws(self, content: str, kind: str) -> np.random.Generator:
        return clip_generator(self.seed, content, f"variant {self.variant} {kind}")


def at_speed(waveform: Waveform, speed: float) -> Waveform:
    """Play 16 kHz sound `speed` times as fast: float32 (time,) -> (time / speed,)."""
    from mer.media.audio import SPEECH_RATE, resample

    return resample(waveform, round(SPEECH_RATE * speed), SPEECH_RATE)


def coloured_noise(colour: Colour, size: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Gaussian noise, float64 (size,), of no particular level; pink: power falls with 1 / frequency."""
    if colour == "white" or size < 2:
        return generator.standard_normal(size)
    from scipy.fft import irfft, next_fast_len, rfft

    length = next_fast_len(
        size, real=True
    )  # a clip's own length may be a prime, which takes ten times as long
    spectrum = rfft(generator.standard_normal(length))
    spectrum[0] = 0.0  # no offset
    spectrum[1:] /= np.sqrt(np.arange(1, spectrum.size))
    return np.asarray(irfft(spectrum, length)[:size], dtype=np.float64)


def reverberate(
    waveform: Waveform, rt60_seconds: float, direct_db: float, generator: np.random.Generator
) -> Waveform:
    """Convolve with a made room: direct sound, then noise that decays exponentially, by 60 dB in `rt60_seconds`.

    Length and power stay as they were (a peak beyond 1 is scaled to 1); no delay is added.

    Args:
        waveform: float32 (time,) at 16 kHz.
        rt60_seconds: decay time, seconds.
        direct_db: energy of the direct sound over that of the decaying noise, dB.
        generator: draws the noise.
    """
    from scipy.signal import oaconvolve

    from mer.media.audio import SPEECH_RATE

    dry = waveform.astype(np.float64)
    seconds = np.arange(1, max(2, round(rt60_seconds * SPEECH_RATE)) + 1) / SPEECH_RATE
    tail = generator.standard_normal(seconds.size) * np.exp(-_DECAY_OF_60_DB * seconds / rt60_seconds)
    tail *= np.sqrt(10 ** (-direct_db / 10) / np.sum(tail**2))
    wet = oaconvolve(dry, np.concatenate([[1.0], tail]))[: dry.size]
    power = float(np.mean(wet**2))
    if power == 0.0:
        return waveform
    return _within_one(wet * np.sqrt(np.mean(dry**2) / power))


def _between(generator: np.random.Generator, low: float, high: float) -> float:
    return float(generator.uniform(low, high))


def _within_one(samples: NDArray[np.float64]) -> Waveform:
    return np.asarray(samples / max(1.0, float(np.abs(samples).max())), dtype=np.float32)
