"""The detector and the noise estimate on real speech, with noise added at known levels."""

from __future__ import annotations

import numpy as np
import pytest

from mer.media.audio import trim_silence
from mer.quality.corruption import babble_of
from mer.quality.speech_activity import HOP_SECONDS, detect_speech

RATE = 16_000


def steady_noise(kind: str, size: int, seed: int = 0) -> np.ndarray:
    white = np.random.default_rng(seed).normal(size=size)
    if kind == "white":
        return white
    if kind == "low":  # a fan: most of the power below 1 kHz
        return np.convolve(white, np.ones(16) / 16, mode="same")
    return np.sin(2 * np.pi * 100 * np.arange(size) / RATE) + 0.3 * white  # mains hum


def with_noise(speech: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Speech and noise whose power ratio, where somebody speaks in the clean clip, is `snr_db`."""
    active = np.repeat(detect_speech(speech).active, round(HOP_SECONDS * RATE))[: speech.size]
    power = np.mean(speech[: active.size][active].astype(np.float64) ** 2)
    scaled = noise * np.sqrt(power / np.mean(noise**2) * 10 ** (-snr_db / 10))
    return (speech + scaled).astype(np.float32)


@pytest.mark.parametrize("kind", ["white", "low", "hum"])
@pytest.mark.parametrize("seconds", [0.5, 1, 3, 10])
def test_steady_noise_is_no_speech(kind: str, seconds: float) -> None:
    noise = 0.1 * steady_noise(kind, round(seconds * RATE)).astype(np.float32)
    found = detect_speech(noise)
    assert found.speech_seconds < 0.1 * seconds
    assert found.active.size == pytest.approx(100 * seconds, abs=2)


@pytest.mark.parametrize("size", [0, 1, 100, 799, RATE])
def test_silence_of_any_length_is_no_speech(size: int) -> None:
    found = detect_speech(np.zeros(size, np.float32))
    assert (found.speech_seconds, found.snr_db) == (0.0, None)


def test_clean_speech_is_found_between_its_silent_ends(spoken_clips: list[np.ndarray]) -> None:
    quiet_start = 0
    for clip in spoken_clips:
        found = detect_speech(clip)
        spoken = trim_silence(clip, RATE, keep_seconds=0.0).size / RATE
        assert 0.5 * spoken < found.speech_seconds < 1.25 * spoken
        quiet_start += not found.active[:50].any()
        assert found.snr_db is not None
        assert found.snr_db > 33
    assert quiet_start == 6  # two actors breathe in audibly in the half second before they speak


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["white", "low"])
def test_the_noise_estimate_follows_the_noise_that_was_added(
    spoken_clips: list[np.ndarray], kind: str
) -> None:
    levels = (25.0, 15.0, 5.0)
    errors = {level: [] for level in levels}
    for number, clip in enumerate(spoken_clips):
        estimates = []
        for level in levels:
            estimate = detect_speech(with_noise(clip, steady_noise(kind, clip.size, number), level)).snr_db
            assert estimate is not None
            estimates.append(estimate)
            errors[level].append(estimate - level)
        assert estimates == sorted(estimates, reverse=True)
    for level, of_level in errors.items():
        assert abs(float(np.mean(of_level))) < 3.0, (level, of_level)


def test_speech_stays_speech_in_moderate_noise(spoken_clips: list[np.ndarray]) -> None:
    for number, clip in enumerate(spoken_clips):
        clean = detect_speech(clip).speech_seconds
        noisy = detect_speech(with_noise(clip, steady_noise("white", clip.size, number), 15.0)).speech_seconds
        assert 0.6 * clean < noisy < 1.2 * clean


def test_babble_lowers_the_estimate_too(spoken_clips: list[np.ndarray]) -> None:
    """Babble is not steady, so its level is underestimated; the order of levels is still right."""
    clip, others = spoken_clips[0], spoken_clips[1:]
    babble = babble_of(others, clip.size, np.random.default_rng(1))
    found = [detect_speech(with_noise(clip, babble, level)).snr_db for level in (30.0, 15.0, 0.0)]
    assert None not in found
    assert found == sorted(found, reverse=True)  # type: ignore[type-var]
    assert detect_speech(clip).snr_db > found[0]  # type: ignore[operator]


def test_twice_the_speech_is_twice_the_seconds(spoken_clips: list[np.ndarray]) -> None:
    clip = spoken_clips[0]
    once, twice = detect_speech(clip), detect_speech(np.concatenate([clip, clip]))
    assert twice.speech_seconds == pytest.approx(2 * once.speech_seconds, rel=0.1)


def test_level_and_rate_do_not_matter(spoken_clips: list[np.ndarray]) -> None:
    from mer.media.audio import resample

    clip = spoken_clips[2]
    found = detect_speech(clip)
    for other in (detect_speech(0.05 * clip), detect_speech(resample(clip, RATE, 48_000), 48_000)):
        assert other.speech_seconds == pytest.approx(found.speech_seconds, rel=0.05)
        assert other.snr_db == pytest.approx(found.snr_db, abs=1.5)
