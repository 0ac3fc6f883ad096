"""Stereo whose channels cancel each other is heard, whoever decodes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from mer.media.audio import decode_audio, downmix

Make = Callable[..., np.ndarray]
CODECS = {"m4a": ("aac", "fltp"), "mkv": ("pcm_f32le", "flt"), "mp4": ("aac", "fltp")}


def write_stereo(path: Path, stereo: np.ndarray, rate: int) -> None:
    """(2, time) by the container that the suffix names."""
    suffix = path.suffix[1:]
    if suffix not in CODECS:
        soundfile.write(path, stereo.T, rate)
        return
    codec, sample_format = CODECS[suffix]
    with av.open(str(path), "w") as sink:
        stream = sink.add_stream(codec, rate=rate, layout="stereo")
        values = stereo if sample_format.endswith("p") else stereo.T.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(values, dtype=np.float32), format=sample_format, layout="stereo"
        )
        frame.sample_rate = rate
        sink.mux(stream.encode(frame))
        sink.mux(stream.encode(None))


@pytest.mark.parametrize("suffix", ["wav", "flac", "aiff", "mp3", "ogg", *CODECS])
@pytest.mark.parametrize("right", [-1.0, -0.9])
def test_antiphase_stereo_is_heard(tmp_path: Path, tone: Make, suffix: str, right: float) -> None:
    left = tone(1.0, 300, 44_100)
    path = tmp_path / f"antiphase.{suffix}"
    write_stereo(path, np.stack([left, right * left]), 44_100)
    settled = decode_audio(path)[2000:14_000]
    assert np.std(settled) == pytest.approx(np.std(left), rel=0.05)
    spectrum = np.abs(np.fft.rfft(settled * np.hanning(settled.size)))
    peak = round(300 * settled.size / 16_000)
    assert spectrum.argmax() == peak
    assert np.delete(spectrum, range(peak - 5, peak + 6)).max() < spectrum.max() / 50, (
        "clicks between packets"
    )


def test_a_loud_channel_is_taken_only_where_they_cancel() -> None:
    wave = np.sin(np.arange(800, dtype=np.float32) / 7)
    other = np.cos(np.arange(800, dtype=np.float32) / 5)
    np.testing.assert_array_equal(downmix(np.stack([wave, -wave])), wave)
    np.testing.assert_array_equal(downmix(np.stack([0 * wave, wave, -wave])), wave)
    for pair in ([wave, 0 * wave], [wave, other], [wave, -0.5 * wave], [0 * wave, 0 * wave]):
        np.testing.assert_array_equal(downmix(np.stack(pair)), np.stack(pair).mean(axis=0, dtype=np.float32))
