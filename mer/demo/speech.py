"""Speech by espeak-ng (the library inside the espeakng-loader wheel), with prosody that follows an emotion.

The library keeps oscillator and noise state between utterances, so the same text sounds different the second
time. It is therefore loaded afresh for every utterance (a few milliseconds): equal calls give equal samples.
"""

from __future__ import annotations

import _ctypes
import ctypes
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import espeakng_loader
import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: samples come by callback during espeak_Synth
_DONT_EXIT = 0x8000
_UTF8 = 1
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4  # espeak_PARAMETER

_SYNTHESIS = threading.Lock()
"""The library is one global state machine."""


@dataclass(frozen=True)
class Voice:
    """One speaker: an espeak-ng voice and where its neutral speech lies."""

    name: str
    pitch: int
    """espeak's pitch, 0..99."""
    pitch_range: int
    words_per_minute: int


VOICES: tuple[Voice, ...] = (
    Voice("en-us+m1", 44, 45, 172),
    Voice("en-us+f2", 52, 50, 178),
    Voice("en-gb-scotland+m3", 40, 50, 168),
    Voice("en-gb-x-rp+f3", 48, 42, 170),
    Voice("en-us+m7", 36, 40, 164),
    Voice("en-us+f4", 56, 52, 182),
    Voice("en-gb-x-gbclan+m4", 46, 48, 176),
    Voice("en-us+f5", 45, 46, 174),
    Voice("en-029+m2", 42, 44, 166),
    Voice("en-gb-x-rp+f1", 54, 48, 184),
)


@dataclass(frozen=True)
class Prosody:
    """Deviation of emotional speech from a speaker's neutral speech: differences in espeak's units, factors, and shares of
    effects.
    """

    pitch: float = 0.0
    pitch_range: float = 0.0
    tempo: float = 1.0
    loudness_db: float = 0.0
    drive: float = 0.0
    """Pressed voice: soft clipping, 0..1."""
    breath: float = 0.0
    """Breathy, dull voice: 0..1."""
    tremor: float = 0.0
    """Depth of a 6.5 Hz amplitude tremor, 0..1."""
    bright: float = 0.0
    """Smiling voice: more high frequencies, 0..1."""
    rising: bool = False
    """Ends like a question."""


PROSODY: Mapping[str, Prosody] = MappingProxyType(
    {
        "neutral": Prosody(),
        "angry": Prosody(pitch=6, pitch_range=30, tempo=1.16, loudness_db=7, drive=1.0),
        "happy": Prosody(pitch=20, pitch_range=34, tempo=1.06, loudness_db=3, bright=0.5),
        "sad": Prosody(pitch=-13, pitch_range=-28, tempo=0.78, loudness_db=-7, breath=0.8),
        "worried": Prosody(pitch=9, pitch_range=-20, tempo=1.20, loudness_db=-3, breath=0.3, tremor=0.7),
        "surprise": Prosody(pitch=30, pitch_range=46, tempo=0.90, loudness_db=4, bright=0.2, rising=True),
    }
)
"""Direction of the differences after the usual findings on vocal emotion (arousal raises pitch, range, tempo,
loudness).
"""


def speak(
    transcript: str, voice: Voice, emotion: str, strength: float, generator: np.random.Generator
) -> tuple[NDArray[np.float32], int]:
    """Say `transcript` with the prosody of `emotion`, blurred by this clip's own noise.

    Returns:
        (samples float32 (time,) within [-1, 1], sampling rate in Hz); a little silence stands at both ends.
    """
    prosody = PROSODY[emotion]
    pitch = voice.pitch + strength * prosody.pitch + generator.normal(0, 3)
    spread = voice.pitch_range + strength * prosody.pitch_range + generator.normal(0, 5)
    tempo = 1 + strength * (prosody.tempo - 1) + generator.normal(0, 0.04)
    samples, rate = synthesise(
        transcript.rstrip(".!?") + "?" if prosody.rising else transcript,
        voice.name,
        words_per_minute=round(voice.words_per_minute * tempo),
        pitch=round(float(np.clip(pitch, 2, 97))),
        pitch_range=round(float(np.clip(spread, 2, 97))),
    )
    samples = _coloured(samples, rate, prosody, strength, generator)
    samples *= 10 ** ((strength * prosody.loudness_db + generator.normal(0, 2)) / 20)
    padded = np.pad(samples, [round(seconds * rate) for seconds in generator.uniform(0.08, 0.2, size=2)])
    floor = 0.12 * 10 ** (-generator.normal(30, 4) / 20)
    return np.clip(padded + generator.normal(0, floor, padded.size), -1, 1).astype(np.float32), rate


def _coloured(
    samples: NDArray[np.float32], rate: int, prosody: Prosody, strength: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Voice quality: breath, brightness, tremor, pressure; the result has an RMS of about 0.12."""
    if prosody.breath:
        share = min(1.0, strength * prosody.breath)
        kernel = np.hanning(13) / np.hanning(13).sum()
        envelope = np.convolve(np.abs(samples), np.ones(256) / 256, mode="same")
        # breath: a smoothed voice, with noise that follows its loudness
        dull = np.convolve(samples, kernel, mode="same") + 0.15 * envelope * generator.normal(
            size=samples.size
        )
        samples = ((1 - share) * samples + share * dull).astype(np.float32)
    if prosody.bright:
        # a first difference lifts high frequencies
        samples = samples + np.float32(strength * prosody.bright) * np.diff(samples, prepend=samples[:1])
    if prosody.tremor:
        depth = min(0.9, strength * prosody.tremor * generator.uniform(0.6, 1.2))
        phase = 2 * np.pi * 6.5 * np.arange(samples.size) / rate + generator.uniform(0, 6.28)
        samples = (samples * (1 - depth * 0.5 * (1 + np.sin(phase)))).astype(np.float32)
    level = float(np.sqrt(np.mean(np.square(samples)))) or 1.0
    samples = samples * (0.12 / level)
    if prosody.drive:
        push = 1 + 5 * strength * prosody.drive
        samples = np.tanh(push * samples) / push * (1 + 0.5 * strength * prosody.drive)
    return samples.astype(np.float32)


def synthesise(
    text: str, voice: str, *, words_per_minute: int, pitch: int, pitch_range: int
) -> tuple[NDArray[np.float32], int]:
    """Plain espeak-ng speech.

    Returns:
        (samples float32 (time,), sampling rate in Hz).

    Raises:
        ConfigError: espeak-ng does not start, does not know the voice, or gives no sample.
    """
    pieces: list[NDArray[np.int16]] = []

    def receive(wave: ctypes._Pointer[ctypes.c_short], count: int, events: int | None) -> int:
        if wave and count > 0:
            pieces.append(np.ctypeslib.as_array(wave, (count,)).copy())
        return 0

    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)(
        receive
    )
    with _SYNTHESIS:
        library = ctypes.CDLL(str(espeakng_loader.get_library_path()))
        try:
            rate = _start(library)
            library.espeak_SetSynthCallback(callback)
            if library.espeak_SetVoiceByName(voice.encode()) != 0:
                raise ConfigError(f"espeak-ng knows no voice {voice!r}")
            settings = ((_RATE, words_per_minute), (_VOLUME, 100), (_PITCH, pitch), (_RANGE, pitch_range))
            for parameter, value in settings:
                library.espeak_SetParameter(parameter, value, 0)
            encoded = text.encode()
            failed = library.espeak_Synth(
                encoded, ctypes.c_size_t(len(encoded) + 1), ctypes.c_uint(0), 0, ctypes.c_uint(0),
                ctypes.c_uint(_UTF8), None, None,
            )  # fmt: skip
            library.espeak_Terminate()
        finally:
            _unload(library)
    if failed or not pieces:
        raise ConfigError(f"espeak-ng said nothing for {text!r} (code {failed})")
    return np.concatenate(pieces).astype(np.float32) / 32768.0, rate


def _start(library: ctypes.CDLL) -> int:
    """Initialise a freshly loaded library; returns its sampling rate in Hz."""
    data = str(espeakng_loader.get_data_path()).encode()
    rate = int(library.espeak_Initialize(_SYNCHRONOUS, 0, data, _DONT_EXIT))
    if rate <= 0:
        raise ConfigError(f"espeak-ng does not start (code {rate}): reinstall espeakng-loader")
    library.espeak_ng_SetRandSeed(ctypes.c_long(1))
    return rate


def _unload(library: ctypes.CDLL) -> None:
    """Forget the library with its state; where the system cannot (Windows), the state stays."""
    close = getattr(_ctypes, "dlclose", None)
    if close is not None:
        close(library._handle)
