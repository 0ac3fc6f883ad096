"""Files that broke on their way: an index missing or damaged, an end cut off, bytes flipped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from bad_media import READERS, reason_of

from mer.errors import QuarantineReason
from mer.media.audio import decode_audio
from mer.media.probe import probe

Make = Callable[..., np.ndarray]


def test_an_mp4_without_its_index_is_truncated(tmp_path: Path, movie: Path) -> None:
    whole = movie.read_bytes()
    path = tmp_path / "clip.mp4"
    path.write_bytes(
        whole[: whole.index(b"moov") - 4]
    )  # a recording that was not finished: whole boxes, no index
    assert {reason_of(read, path) for read in READERS} == {QuarantineReason.TRUNCATED}


@pytest.mark.parametrize("percent", range(10, 100, 10))
def test_an_mp4_cut_anywhere_is_truncated(tmp_path: Path, movie: Path, percent: int) -> None:
    whole = movie.read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: len(whole) * percent // 100])
    assert {reason_of(read, path) for read in READERS} == {QuarantineReason.TRUNCATED}


@pytest.mark.parametrize("percent", [20, 50, 80])
def test_a_cut_mp4_with_its_index_in_front_is_truncated_too(
    tmp_path: Path, movie: Path, percent: int
) -> None:
    streaming = tmp_path / "streaming.mp4"
    with (
        av.open(str(movie)) as source,
        av.open(str(streaming), "w", options={"movflags": "faststart"}) as sink,
    ):
        streams = {stream.index: sink.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                sink.mux(packet)
    assert reason_of(probe, streaming) is None
    whole = streaming.read_bytes()
    assert whole.index(b"moov") < whole.index(b"mdat")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) * percent // 100])
    assert reason_of(probe, cut) is QuarantineReason.TRUNCATED


@pytest.mark.parametrize("percent", [30, 60])
@pytest.mark.parametrize("suffix", ["flac", "wav", "ogg", "mp3"])
def test_cut_audio_is_refused_or_its_readable_part_is_read(
    tmp_path: Path, tone: Make, suffix: str, percent: int
) -> None:
    path = tmp_path / f"cut.{suffix}"
    soundfile.write(path, tone(4.0), 16_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * percent // 100])
    assert reason_of(probe, path) in {None, QuarantineReason.TRUNCATED, QuarantineReason.DECODE_FAILED}
    if reason_of(decode_audio, path) is None:
        assert 0 < decode_audio(path).size <= 4 * 16_000


def test_flipped_bytes_cost_no_more_than_their_frames(tmp_path: Path, movie: Path) -> None:
    generator = np.random.default_rng(3)
    whole = movie.read_bytes()
    media_data = whole.index(b"mdat") + 8
    for round_ in range(12):
        broken = bytearray(whole)
        for place in generator.integers(media_data, whole.index(b"moov") - 8, size=40):
            broken[place] ^= 0xFF
        path = tmp_path / f"flipped{round_}.mp4"
        path.write_bytes(broken)
        for read in READERS:
            assert reason_of(read, path) in {
                None,
                QuarantineReason.DECODE_FAILED,
                QuarantineReason.NO_USABLE_STREAM,
                QuarantineReason.TRUNCATED,
            }


def test_a_damaged_index_never_escapes_as_another_error(tmp_path: Path, movie: Path) -> None:
    generator = np.random.default_rng(4)
    whole = movie.read_bytes()
    index = whole.index(b"moov")
    for round_ in range(40):
        broken = bytearray(whole)
        for place in generator.integers(index + 4, len(whole), size=6):
            broken[place] = generator.integers(256)
        path = tmp_path / f"index{round_}.mp4"
        path.write_bytes(broken)
        for read in READERS:
            reason_of(read, path)
