"""Files that are unusual and yet are clips: one stream only, one frame, odd rates and time stamps, silence, black."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from bad_media import READERS, reason_of

from mer.demo.clip_file import write_clip
from mer.errors import QuarantineReason
from mer.media.audio import decode_audio
from mer.media.frames import sample_frames
from mer.media.probe import probe

Make = Callable[..., np.ndarray]


def keep_streams(source_path: Path, path: Path, kind: str) -> None:
    """Copy the streams of one kind."""
    with av.open(str(source_path)) as source, av.open(str(path), "w") as sink:
        kept = [stream for stream in source.streams if stream.type == kind]
        streams = {stream.index: sink.add_stream_from_template(stream) for stream in kept}
        for packet in source.demux(kept):
            if packet.size:
                packet.stream = streams[packet.stream_index]
                sink.mux(packet)


def test_audio_without_a_picture_is_a_clip(tmp_path: Path, movie: Path) -> None:
    path = tmp_path / "sound.mp4"
    keep_streams(movie, path, "audio")
    found = probe(path)
    assert (found.has_audio, found.has_video) == (True, False)
    assert decode_audio(path).size == decode_audio(movie).size
    assert reason_of(lambda clip: sample_frames(clip, 4), path) is QuarantineReason.NO_USABLE_STREAM


def test_a_picture_without_audio_is_a_clip(tmp_path: Path, movie: Path) -> None:
    path = tmp_path / "film.mp4"
    keep_streams(movie, path, "video")
    found = probe(path)
    assert (found.has_audio, found.has_video, found.video_frames) == (False, True, 20)
    np.testing.assert_array_equal(sample_frames(path, 4), sample_frames(movie, 4))
    assert reason_of(decode_audio, path) is QuarantineReason.NO_AUDIO


def test_one_frame_is_a_clip(tmp_path: Path, counting_frames: Make, tone: Make) -> None:
    path = tmp_path / "one.mp4"
    write_clip(path, counting_frames(1), 10, tone(1.0), 16_000)
    assert (probe(path).video_frames, probe(path).fps) == (1, None)
    assert probe(path).duration_seconds == pytest.approx(1.0, abs=0.15)
    assert sample_frames(path, 5).shape == (5, 64, 64, 3)


@pytest.mark.parametrize("suffix", ["avi", "mp4"])
def test_a_frame_rate_of_zero(tmp_path: Path, counting_frames: Make, suffix: str) -> None:
    """The rate of the header is 0: refused with a reason, or read by the stamps of its packets."""
    path = tmp_path / f"a.{suffix}"
    with av.open(str(path), "w") as sink:
        stream = sink.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for picture in counting_frames(10):
            sink.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        sink.mux(stream.encode(None))
    content = bytearray(path.read_bytes())
    place = content.index(b"strh") + 8 + 24 if suffix == "avi" else content.index(b"mdhd") + 4 + 12
    content[place : place + 4] = bytes(4)  # the stream header's dwRate; the time scale of the track
    path.write_bytes(content)
    found = {reason_of(read, path) for read in READERS}
    assert found <= {
        None,
        QuarantineReason.NO_AUDIO,
        QuarantineReason.DECODE_FAILED,
        QuarantineReason.NO_USABLE_STREAM,
        QuarantineReason.TOO_LONG,
    }
    if reason_of(probe, path) is None:
        assert sample_frames(path, 10).mean() == pytest.approx(counting_frames(10).mean(), abs=3)


def test_time_stamps_that_go_back_and_forth(tmp_path: Path, counting_frames: Make) -> None:
    """Frame n claims to be shown at another time than the order of coding has it: the claim counts."""
    path = tmp_path / "a.mkv"
    order = [3, 0, 1, 4, 2, 7, 5, 9, 8, 6]
    with av.open(str(path), "w") as sink:
        stream = sink.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
        packets = [
            packet
            for picture in counting_frames(10)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24"))
        ]
        for number, packet in enumerate(packets):
            packet.time_base = Fraction(1, 1000)
            packet.pts, packet.dts = 1000 + 100 * order[number], number
            packet.stream = stream
            sink.mux(packet)
    found = probe(path)
    assert found.video_frames == 10
    assert 0.8 < found.duration_seconds < 1.2
    frames = sample_frames(path, 5)
    shown_at = {stamp: number for number, stamp in enumerate(order)}
    assert [round(float(frame.mean()) / 8) for frame in frames] == [shown_at[n] for n in (1, 3, 5, 7, 9)]


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (16_000, 8), (192_000, 2), (44_100, 6)])
def test_unusual_rates_and_channels_are_read(tmp_path: Path, tone: Make, rate: int, channels: int) -> None:
    path = tmp_path / "odd.wav"
    soundfile.write(path, np.repeat(tone(1.0, rate=rate)[:, None], channels, axis=1), rate)
    assert (probe(path).sample_rate, probe(path).channels) == (rate, channels)
    assert decode_audio(path).size == pytest.approx(16_000, abs=2)


def test_silence_and_black_are_clips(tmp_path: Path) -> None:
    path = tmp_path / "nothing.mp4"
    write_clip(path, np.zeros((10, 64, 64, 3), np.uint8), 10, np.zeros(16_000, np.float32), 16_000)
    assert probe(path).has_audio
    assert float(np.abs(decode_audio(path)).max()) < 1e-3
    assert sample_frames(path, 3).max() < 20


def test_a_wav_full_of_nan_becomes_silence(tmp_path: Path) -> None:
    path = tmp_path / "nan.wav"
    soundfile.write(path, np.full(1600, np.nan, np.float32), 16_000, subtype="FLOAT")
    assert np.isfinite(decode_audio(path)).all()
