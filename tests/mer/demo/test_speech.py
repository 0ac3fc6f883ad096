from __future__ import annotations

import threading

import numpy as np
import pytest

from mer.demo.speech import PROSODY, VOICES, speak, synthesise
from mer.emotions import MER_EMOTIONS
from mer.errors import ConfigError

SENTENCE = "They are talking in the office."


def pitch_of(samples: np.ndarray, rate: int) -> np.ndarray:
    """Fundamental frequency of the loud frames in Hz, by autocorrelation."""
    size = rate // 25
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[:: size // 2]
    level = np.sqrt((frames**2).mean(axis=1))
    spectrum = np.fft.rfft(frames[level > 0.4 * level.max()] * np.hanning(size), 2 * size)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)
    low, high = rate // 450, rate // 65
    return rate / (low + correlation[:, low:high].argmax(axis=1))


def said(emotion: str, speaker: int = 1, seed: int = 0) -> tuple[np.ndarray, int]:
    return speak(SENTENCE, VOICES[speaker], emotion, 1.0, np.random.default_rng(seed))


def test_equal_calls_give_equal_samples_whatever_was_said_before() -> None:
    first, rate = said("happy")
    said("sad", speaker=4)
    again, again_rate = said("happy")
    assert rate == again_rate
    np.testing.assert_array_equal(first, again)


def test_threads_do_not_disturb_each_other() -> None:
    expected = {speaker: said("angry", speaker)[0] for speaker in range(4)}
    found: dict[int, np.ndarray] = {}

    def work(speaker: int) -> None:
        found[speaker] = said("angry", speaker)[0]

    threads = [threading.Thread(target=work, args=(speaker,)) for speaker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for speaker, samples in expected.items():
        np.testing.assert_array_equal(found[speaker], samples)


@pytest.mark.parametrize("speaker", range(len(VOICES)))
def test_every_voice_speaks(speaker: int) -> None:
    samples, rate = said("neutral", speaker)
    assert samples.dtype == np.float32
    assert 1.0 < samples.size / rate < 3.5
    assert 0.05 < np.abs(samples).max() <= 1.0


def test_voices_differ() -> None:
    neutral = [said("neutral", speaker)[0] for speaker in range(len(VOICES))]
    medians = [float(np.median(pitch_of(samples, 22_050))) for samples in neutral]
    assert max(medians) > 1.5 * min(medians)
    assert len({samples.tobytes() for samples in neutral}) == len(VOICES)


def test_prosody_follows_the_emotion() -> None:
    """Averaged over high voices (low ones fool a simple pitch tracker): arousal raises pitch and loudness,
    sadness lowers and slows."""
    facts: dict[str, np.ndarray] = {}
    for emotion in MER_EMOTIONS:
        rows = []
        for speaker in (1, 3, 5, 7):
            samples, rate = said(emotion, speaker, seed=speaker)
            rows.append(
                [np.median(pitch_of(samples, rate)), samples.size / rate, np.sqrt(np.mean(samples**2))]
            )
        facts[emotion] = np.mean(rows, axis=0)
    pitch, seconds, level = (
        dict(zip(facts, column, strict=True)) for column in np.array(list(facts.values())).T
    )
    assert pitch["surprise"] > pitch["happy"] > pitch["neutral"] > pitch["sad"]
    assert seconds["sad"] > 1.15 * seconds["neutral"] > seconds["angry"] > 0
    assert level["angry"] > 1.3 * level["neutral"] > 1.3 * level["sad"]


def test_every_emotion_has_a_prosody() -> None:
    assert set(PROSODY) == set(MER_EMOTIONS)


def test_an_unknown_voice_is_a_typed_error_and_leaves_the_library_usable() -> None:
    with pytest.raises(ConfigError, match="no voice"):
        synthesise("hello", "klingon-xx", words_per_minute=170, pitch=50, pitch_range=50)
    assert synthesise("hello", "en-us", words_per_minute=170, pitch=50, pitch_range=50)[0].size > 5000
