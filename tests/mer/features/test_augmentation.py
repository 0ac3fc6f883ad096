"""Augmented takes of a clip: always the same, of the level, decay and length they say, and finite whatever comes in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mer.clips import Clip
from mer.features.augmentation import (
    AugmentedVariant,
    WaveformAugmentation,
    coloured_noise,
    reverberate,
)
from mer.features.clip_media import ClipMedia, FaceDetectors, prepare_sound
from mer.features.spec import AudioPreparation
from mer.media.audio import decode_audio

NOTHING = {
    "speed_probability": 0.0, "reverberation_probability": 0.0, "noise_probability": 0.0, "gain_probability": 0.0,
}  # fmt: skip
EVERYTHING = dict.fromkeys(NOTHING, 1.0)


def variant(number: int = 0, seed: int = 1, **options: Any) -> AugmentedVariant:
    """Only what is asked for happens."""
    augmentation = WaveformAugmentation.model_validate(NOTHING | options)
    return AugmentedVariant(augmentation=augmentation, variant=number, seed=seed)


def voice(seconds: float = 1.0, level: float = 0.1) -> np.ndarray:
    time = np.arange(round(seconds * 16_000)) / 16_000
    buzz = sum(np.sin(2 * np.pi * 140 * k * time) / k for k in range(1, 12))
    return (level * buzz * (1.1 + np.sin(2 * np.pi * 3 * time))).astype(np.float32)


def power(samples: np.ndarray) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64)))


def test_a_take_depends_on_clip_variant_and_seed_and_nothing_else() -> None:
    sound, everything = voice(), EVERYTHING
    once = variant(**everything).apply(sound, "a")
    np.testing.assert_array_equal(variant(**everything).apply(sound.copy(), "a"), once)
    others = [
        variant(**everything).apply(sound, "b"),
        variant(number=1, **everything).apply(sound, "a"),
        variant(seed=2, **everything).apply(sound, "a"),
    ]
    for other in others:
        assert other.shape != once.shape or np.abs(other - once).max() > 1e-3


def test_another_process_draws_the_same() -> None:
    code = (
        "from mer.features.augmentation import *; "
        "print(AugmentedVariant(augmentation=WaveformAugmentation(), variant=3, seed=5).draw('clip'))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    here = AugmentedVariant(augmentation=WaveformAugmentation(), variant=3, seed=5).draw("clip")
    assert told.strip() == str(here)


def test_changing_one_kind_leaves_what_is_drawn_of_the_others() -> None:
    plain = variant(**EVERYTHING).draw("a")
    quiet = variant(**(EVERYTHING | {"noise_probability": 0.0, "max_rt60_seconds": 2.0})).draw("a")
    assert (quiet.speed, quiet.gain_db, quiet.snr_db) == (plain.speed, plain.gain_db, None)
    assert quiet.rt60_seconds != plain.rt60_seconds


def test_probabilities_and_ranges_are_kept() -> None:
    options = WaveformAugmentation()
    draws = [
        AugmentedVariant(augmentation=options, variant=number).draw(f"clip{clip}")
        for clip in range(500)
        for number in range(4)
    ]
    for name, share in (("speed", 0.5), ("rt60_seconds", 0.3), ("snr_db", 0.5), ("gain_db", 0.5)):
        drawn = [value for one in draws if (value := getattr(one, name)) is not None]
        assert len(drawn) / len(draws) == pytest.approx(share, abs=0.05)
    speeds = [one.speed for one in draws if one.speed is not None]
    assert set(speeds) == {0.9, 1.1} and speeds.count(0.9) / len(speeds) == pytest.approx(0.5, abs=0.06)
    assert all(10 <= one.snr_db <= 30 for one in draws if one.snr_db is not None)
    assert all(0.1 <= one.rt60_seconds <= 0.5 for one in draws if one.rt60_seconds is not None)
    assert all(-6 <= one.gain_db <= 0 for one in draws if one.gain_db is not None)


@pytest.mark.parametrize("colour", ["white", "pink"])
@given(snr_db=st.floats(-5, 40), seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_noise_is_of_the_drawn_level(colour: str, snr_db: float, seed: int) -> None:
    sound = voice(level=0.01)  # soft enough that no mixture has to be scaled down
    options = {
        "noise_probability": 1.0,
        "noise_colours": [colour],
        "min_snr_db": snr_db,
        "max_snr_db": snr_db,
    }
    noisy = variant(seed=seed, **options).apply(sound, "a")
    added = noisy.astype(np.float64) - sound
    assert 10 * np.log10(power(sound) / power(added)) == pytest.approx(snr_db, abs=0.1)


def test_pink_noise_falls_by_three_decibels_an_octave_and_white_does_not() -> None:
    def level(colour: Any, low: float) -> float:
        noise = coloured_noise(colour, 160_000, np.random.default_rng(1))
        spectrum, hertz = np.abs(np.fft.rfft(noise)) ** 2, np.fft.rfftfreq(160_000, 1 / 16_000)
        return float(10 * np.log10(spectrum[(hertz >= low) & (hertz < 1.1 * low)].mean()))

    assert level("white", 200) - level("white", 3200) == pytest.approx(0, abs=1)
    assert level("pink", 200) - level("pink", 3200) == pytest.approx(12, abs=1)  # four octaves


@pytest.mark.parametrize("rt60", [0.15, 0.6])
def test_reverberation_decays_in_the_time_it_says(rt60: float) -> None:
    clap = np.zeros(16_000, np.float32)
    clap[0] = 0.5
    response = reverberate(clap, rt60, 3.0, np.random.default_rng(4)).astype(np.float64)
    direct, tail = response[0] ** 2, response[1:] ** 2
    assert 10 * np.log10(direct / tail.sum()) == pytest.approx(3.0, abs=0.1)
    remaining = 10 * np.log10(np.cumsum(tail[::-1])[::-1] / tail.sum() + 1e-12)  # Schroeder's integral
    twenty_db = np.argmax(remaining < -25) - np.argmax(remaining < -5)
    assert 3 * twenty_db / 16_000 == pytest.approx(rt60, rel=0.15)


def test_reverberation_keeps_length_and_power() -> None:
    sound = voice(level=0.02)
    wet = reverberate(sound, 0.4, 0.0, np.random.default_rng(4))
    assert wet.shape == sound.shape and power(wet) == pytest.approx(power(sound), rel=1e-4)
    assert np.abs(wet - sound).max() > 0.01


@pytest.mark.parametrize("speed", [0.8, 0.9, 1.1])
def test_another_speed_gives_another_length(speed: float) -> None:
    take = variant(speed_probability=1.0, speeds=[speed]).apply(voice(), "a")
    assert take.size == pytest.approx(16_000 / speed, abs=1)
    assert power(take) == pytest.approx(power(voice()), rel=0.02)


def test_gain_is_in_decibels_and_never_clips() -> None:
    quieter = variant(gain_probability=1.0, min_gain_db=-20.0, max_gain_db=-20.0).apply(voice(), "a")
    np.testing.assert_allclose(quieter, voice() / 10, atol=1e-6)
    louder = variant(gain_probability=1.0, min_gain_db=20.0, max_gain_db=20.0).apply(voice(), "a")
    np.testing.assert_allclose(louder, voice() / np.abs(voice()).max(), atol=1e-6)


@given(size=st.integers(0, 400), level=st.sampled_from([0.0, 1e-30, 1e-3, 1.0]), seed=st.integers(0, 1000))
@settings(max_examples=150, deadline=None)
def test_silent_and_very_short_clips_stay_finite(size: int, level: float, seed: int) -> None:
    sound = (level * np.random.default_rng(seed).uniform(-1, 1, size)).astype(np.float32)
    take = variant(seed=seed, **EVERYTHING).apply(sound, "a")
    assert take.dtype == np.float32 and np.isfinite(take).all()
    assert (take.size > 0) == (size > 0) and np.abs(take).max(initial=0) <= 1
    if not sound.any():
        assert not take.any(), "silence is left alone"


def test_several_channels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"mono .* found shape \(2, 100\)"):
        variant(**EVERYTHING).apply(np.zeros((2, 100), np.float32), "a")


def test_stereo_files_are_mixed_down_before_they_are_augmented(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([voice(), np.zeros(16_000)], axis=1), 16_000, subtype="FLOAT")
    clip = Clip(content="a", name="stereo", path=path, corpus_root=tmp_path)
    augmented = variant(**EVERYTHING)
    found = ClipMedia(clip, FaceDetectors(Path())).sound(AudioPreparation(augmented=augmented)).waveform
    prepared = prepare_sound(voice() / 2, AudioPreparation())
    np.testing.assert_allclose(found, augmented.apply(prepared, "a"), atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"min_snr_db": 20.0, "max_snr_db": 10.0},
        {"min_rt60_seconds": 1.0, "max_rt60_seconds": 0.5},
        {"min_gain_db": 1.0, "max_gain_db": 0.0},
        {"speeds": [3.0]},
        {"speeds": []},
        {"noise_probability": 1.5},
        {"noise_colours": ["brown"]},
        {"babble": True},
        NOTHING,
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        WaveformAugmentation.model_validate(options)


def test_real_speech_stays_speech(shared_data: Path) -> None:
    """The default augmentation changes a recording, and leaves most of it: its loudness over time is still the same."""
    heard = decode_audio(shared_data / "data/ravdess/audio/03-01-05-01-01-01-01.flac")
    prepared = prepare_sound(heard, AudioPreparation())
    for number in range(6):
        one = AugmentedVariant(augmentation=WaveformAugmentation(speed_probability=0.0), variant=number)
        take = one.apply(prepared, "a")
        curves = [
            np.sqrt(np.square(x[: x.size // 800 * 800].reshape(-1, 800)).mean(axis=1))
            for x in (take, prepared)
        ]
        assert np.corrcoef(*curves)[0, 1] > 0.9
