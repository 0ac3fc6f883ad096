from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from mer.errors import MediaError, QuarantineReason
from mer.media.audio import decode_audio, downmix, peak_normalise, resample, trim_silence

Make = Callable[..., np.ndarray]


def loudest_hertz(waveform: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(waveform.size)))
    return float(spectrum.argmax() * rate / waveform.size)


def test_wav_and_flac_come_back_sample_for_sample(tmp_path: Path, tone: Make) -> None:
    for suffix in ("wav", "flac"):
        path = tmp_path / f"a.{suffix}"
        soundfile.write(path, tone(1.0), 16_000, subtype="PCM_16")
        np.testing.assert_allclose(decode_audio(path), tone(1.0), atol=1 / 32768)


def test_aac_in_mp4_keeps_tone_level_and_length(movie: Path, tone: Make) -> None:
    waveform = decode_audio(movie)
    assert waveform.dtype == np.float32
    assert waveform.size == pytest.approx(32_000, abs=1100)  # AAC codes blocks of 1024
    assert loudest_hertz(waveform, 16_000) == pytest.approx(440, abs=2)
    assert np.sqrt(np.mean(waveform[2000:-2000] ** 2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.03)


def test_pyav_and_soundfile_agree(tmp_path: Path, tone: Make) -> None:
    """The same stereo signal through both readers: AIFF goes through PyAV, WAV through libsndfile."""
    stereo = np.stack([tone(1.0, 300, 44_100), 0.3 * tone(1.0, 900, 44_100)], axis=1)
    for suffix in ("wav", "aiff"):
        soundfile.write(tmp_path / f"a.{suffix}", stereo, 44_100, subtype="PCM_16")
    np.testing.assert_allclose(decode_audio(tmp_path / "a.wav"), decode_audio(tmp_path / "a.aiff"), atol=1e-4)


@pytest.mark.parametrize("source", [8_000, 22_050, 44_100, 48_000, 192_000])
def test_resampling_keeps_pitch_phase_and_length(tone: Make, source: int) -> None:
    result = resample(tone(1.0, 440, source), source, 16_000)
    assert result.size == 16_000
    np.testing.assert_allclose(result[200:-200], tone(1.0, 440, 16_000)[200:-200], atol=0.01)


def test_resampling_removes_what_would_alias(tone: Make) -> None:
    result = resample(tone(1.0, 11_000, 48_000), 48_000, 16_000)  # would fold to 5 kHz
    assert np.sqrt(np.mean(result[200:-200] ** 2)) < 0.01


def test_downmix_is_the_mean_without_the_low_frequency_channel() -> None:
    samples = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 0.2], [9.0, 9.0]], np.float32)
    np.testing.assert_allclose(downmix(samples, ("FL", "FR", "FC", "LFE")), [0.5, 0.7 / 3])
    np.testing.assert_allclose(downmix(samples[:2]), [0.75, 0.25])


@pytest.mark.parametrize("layout", ["5.1", "7.1"])
def test_a_surround_wav_is_mixed_without_its_low_frequency_channel(
    tmp_path: Path, tone: Make, layout: str
) -> None:
    channels = 6 if layout == "5.1" else 8
    samples = np.repeat(tone(1.0)[:, None], channels, axis=1)
    samples[:, 3] = 0.9
    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as sink:  # writes which channel is which
        stream = sink.add_stream("pcm_f32le", rate=16_000, layout=layout)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout=layout)
        frame.sample_rate = 16_000
        sink.mux(stream.encode(frame))
        sink.mux(stream.encode(None))
    np.testing.assert_allclose(decode_audio(path), tone(1.0), atol=1e-3)
    soundfile.write(path, samples, 16_000, subtype="FLOAT")  # does not: every channel may be speech
    np.testing.assert_allclose(decode_audio(path), samples.mean(axis=1), atol=1e-3)


def test_only_the_beginning_is_decoded(tmp_path: Path, tone: Make, movie: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(3.0), 16_000)
    assert decode_audio(path, max_seconds=1.0).size == 16_000
    assert decode_audio(movie, max_seconds=0.5).size == 8_000


def test_other_rates_can_be_asked_for(movie: Path) -> None:
    assert loudest_hertz(decode_audio(movie, sample_rate=24_000), 24_000) == pytest.approx(440, abs=2)


def test_no_audio_track_is_told_apart(silent_film: Path) -> None:
    with pytest.raises(MediaError) as caught:
        decode_audio(silent_film)
    assert caught.value.reason is QuarantineReason.NO_AUDIO


def test_an_empty_wav_is_a_decode_failure(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(0, np.float32), 16_000)
    with pytest.raises(MediaError) as caught:
        decode_audio(path)
    assert caught.value.reason is QuarantineReason.DECODE_FAILED


def test_a_rate_that_changes_in_mid_stream_is_followed(tmp_path: Path, tone: Make) -> None:
    """Two MP3 files of different rates, one after the other: players play both, so do we."""
    parts = []
    for rate in (32_000, 48_000):
        path = tmp_path / f"{rate}.mp3"
        with av.open(str(path), "w", options={"write_xing": "0", "id3v2_version": "0"}) as sink:
            stream = sink.add_stream("libmp3lame", rate=rate, layout="mono")
            frame = av.AudioFrame.from_ndarray(tone(1.0, 440, rate)[None], format="fltp", layout="mono")
            frame.sample_rate = rate
            sink.mux(stream.encode(frame))
            sink.mux(stream.encode(None))
        parts.append(path.read_bytes())
    both = tmp_path / "both.mp3"
    both.write_bytes(b"".join(parts))
    waveform = decode_audio(both)
    assert waveform.size / 16_000 == pytest.approx(2.0, abs=0.2)
    assert loudest_hertz(waveform[3000:12_000], 16_000) == pytest.approx(440, abs=4)
    assert loudest_hertz(waveform[-12_000:-3000], 16_000) == pytest.approx(440, abs=4)


@pytest.mark.parametrize("codec", ["aac", "libopus"])
def test_eight_planar_channels(tmp_path: Path, tone: Make, codec: str) -> None:
    """PyAV cannot count eight planes (it reads beyond their list): they must not reach its `to_ndarray`."""
    path = tmp_path / "surround.mkv"
    rate = 48_000
    with av.open(str(path), "w") as sink:
        stream = sink.add_stream(codec, rate=rate, layout="7.1")
        packed = np.repeat(tone(1.0, 440, rate)[:, None], 8, axis=1).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout="7.1")
        frame.sample_rate = rate
        sink.mux(stream.encode(frame))
        sink.mux(stream.encode(None))
    script = (
        "import sys; from pathlib import Path; import numpy as np; from mer.media.audio import decode_audio\n"
        "wave = decode_audio(Path(sys.argv[1])); print(wave.size, np.abs(np.fft.rfft(wave)).argmax() * 16000 / wave.size)"
    )
    ran = subprocess.run(  # its own process: a crash must fail this test, not end the session
        [sys.executable, "-c", script, str(path)],
        capture_output=True, text=True, timeout=60, check=False, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    size, hertz = (float(value) for value in ran.stdout.split())
    assert size == pytest.approx(16_000, abs=700)
    assert hertz == pytest.approx(440, abs=3)


def test_trimming_takes_silence_off_both_ends_only(tone: Make) -> None:
    quiet = np.zeros(8000, np.float32)
    waveform = np.concatenate([quiet, tone(0.5), quiet[:1600], tone(0.5), quiet])
    trimmed = trim_silence(waveform, 16_000, keep_seconds=0.0)
    assert trimmed.size == pytest.approx(16_000 + 1600, abs=2 * 320)


def test_silence_is_left_alone() -> None:
    silence = np.zeros(16_000, np.float32)
    assert trim_silence(silence, 16_000).size == silence.size
    assert peak_normalise(silence) is silence


@given(st.floats(1e-3, 50.0), st.integers(1, 4000))
@settings(max_examples=50, deadline=None)
def test_normalised_speech_has_the_asked_peak_and_trimming_never_lengthens(level: float, size: int) -> None:
    waveform = (level * np.sin(np.arange(1, size + 1))).astype(np.float32)
    assert np.abs(peak_normalise(waveform)).max() == pytest.approx(0.95, rel=1e-4)
    assert 0 < trim_silence(waveform, 16_000).size <= size


def test_real_speech(shared_data: Path) -> None:
    path = shared_data / "data/ravdess/audio/03-01-01-01-01-01-01.flac"
    waveform = decode_audio(path)
    expected, rate = soundfile.read(path, dtype="float32")
    assert rate == 16_000
    np.testing.assert_array_equal(waveform, expected)
    assert 16_000 < trim_silence(waveform, rate).size < waveform.size
