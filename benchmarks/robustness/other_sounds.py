"""Sounds unlike a corpus of acted speech: made ones, other speech, and its own recordings changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from mer.demo.config import DemoConfig
from mer.demo.plan import plan_corpus
from mer.demo.speech import VOICES, speak
from mer.media.audio import SPEECH_RATE, decode_audio, resample

Sound = NDArray[np.floating]
MADE = ("silence", "tones", "noise", "music")
CHANGED = (
    "reversed",
    "babble at 0 dB",
    "noise at 0 dB",
    "noise at 20 dB",
    "reverberation",
    "low-pass 1 kHz",
    "telephone",
)
SPEECH = "synthetic speech"


def write_sounds(recordings: list[Path], each: int, folder: Path) -> Mapping[str, list[Path]]:
    """Kind -> files: `each` of every kind, of synthetic speech four times as many (ten speakers).

    Args:
        recordings: of the corpus; some are changed.
        each: files of a kind.
        folder: where they are written; it is made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    sounds: dict[str, list[Sound]] = {kind: [made(kind, generator) for _ in range(each)] for kind in MADE}
    for place in generator.choice(len(recordings), each, replace=False):
        sound = decode_audio(recordings[place])
        others = [decode_audio(recordings[other]) for other in generator.choice(len(recordings), 3)]
        for kind in CHANGED:
            sounds.setdefault(kind, []).append(changed(kind, sound, others, generator))
    sounds[SPEECH] = synthetic_speech(4 * each)
    files: dict[str, list[Path]] = {}
    for kind, of_kind in sounds.items():
        for number, sound in enumerate(of_kind):
            path = folder / f"{kind.replace(' ', '_')}-{number:03d}.wav"
            soundfile.write(path, np.clip(sound, -1, 1).astype(np.float32), SPEECH_RATE)
            files.setdefault(kind, []).append(path)
    return files


def made(kind: str, generator: np.random.Generator) -> Sound:
    """One sound of 2 to 5 seconds."""
    time = np.arange(int(generator.uniform(2, 5) * SPEECH_RATE)) / SPEECH_RATE
    if kind == "silence":
        return np.zeros_like(time)
    if kind == "tones":
        return np.asarray(0.3 * np.sin(2 * np.pi * generator.uniform(80, 4000) * time))
    if kind == "noise":
        return coloured_noise(time.size, float(generator.integers(3)), generator)
    melody = np.zeros_like(time)
    start = 0
    while start < time.size:
        beat = np.arange(int(generator.choice([0.125, 0.25, 0.5]) * SPEECH_RATE)) / SPEECH_RATE
        for step in generator.choice([0, 2, 4, 5, 7, 9, 11], 3):
            hertz = 220 * 2 ** (step / 12) * generator.choice([0.5, 1, 2])
            harmonics = [np.sin(2 * np.pi * hertz * part * beat) / part for part in range(1, 6)]
            note = 0.08 * np.sum(harmonics, axis=0) * np.exp(-4 * beat)
            melody[start : start + beat.size] += note[: time.size - start]
        start += beat.size
    return melody


def changed(kind: str, sound: Sound, others: list[Sound], generator: np.random.Generator) -> Sound:
    """A recording as it would sound elsewhere."""
    level = float(sound.std())
    if kind == "reversed":
        return sound[::-1]
    if kind == "babble at 0 dB":
        babble = np.zeros_like(sound)
        for other in others:
            babble[: other.size] += other[: sound.size]
        return np.asarray(sound + babble * level / babble.std())
    if kind.startswith("noise"):
        noise = coloured_noise(sound.size, 1.0, generator)
        return np.asarray(sound + noise * level / noise.std() * (0.1 if "20" in kind else 1.0))
    if kind == "reverberation":
        length = int(0.6 * SPEECH_RATE)
        room = generator.normal(size=length) * np.exp(-8 * np.arange(length) / SPEECH_RATE)
        room[0] = 4
        heard = np.convolve(sound, room)[: sound.size]
        return np.asarray(heard * 0.5 * level / heard.std())
    spectrum, hertz = np.fft.rfft(sound), np.fft.rfftfreq(sound.size, 1 / SPEECH_RATE)
    low, high = (0, 1000) if kind.startswith("low") else (300, 3400)
    return np.fft.irfft(spectrum * ((hertz >= low) & (hertz <= high)), sound.size)


def coloured_noise(samples: int, steepness: float, generator: np.random.Generator) -> Sound:
    """Noise whose power falls with this power of the frequency: 0 white, 1 pink, 2 brown."""
    spectrum = np.fft.rfft(generator.normal(size=samples))
    noise = np.fft.irfft(spectrum / np.maximum(np.arange(spectrum.size), 1) ** (steepness / 2), samples)
    return np.asarray(0.1 * noise / noise.std())


def synthetic_speech(count: int) -> list[Sound]:
    """What the demo corpus says, by espeak-ng: another corpus, of other speakers."""
    plans = [plan for plan in plan_corpus(DemoConfig(clips=count + 20)) if plan.broken is None][:count]
    spoken = []
    for number, plan in enumerate(plans):
        generator = np.random.default_rng(number)
        sound, rate = speak(plan.transcript, VOICES[plan.speaker], plan.voice_shows, plan.strength, generator)
        spoken.append(resample(sound, rate, SPEECH_RATE))
    return spoken
