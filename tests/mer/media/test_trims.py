"""Lossless trims: what an edit list hides is decoded and not counted; the right pictures and the right sound come out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_media import ffmpeg, make_long, trim

from mer.media.audio import decode_audio
from mer.media.frames import sample_frames
from mer.media.probe import probe

KINDS = ("mp4", "mov", "m4a")


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_long(tmp_path_factory.mktemp("long") / "long.mp4")


@pytest.fixture(scope="module")
def long_sound(long: Path) -> Path:
    path = long.with_suffix(".m4a")
    ffmpeg("-i", long, "-vn", "-c", "copy", path)
    return path


def shown(path: Path) -> np.ndarray:
    """The frames that a player shows."""
    raw = ffmpeg("-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-fps_mode", "passthrough", "-")
    return np.frombuffer(raw, np.uint8).reshape(-1, 128, 128, 3)


def heard(path: Path) -> np.ndarray:
    """The samples that a player plays."""
    return np.frombuffer(ffmpeg("-i", path, "-f", "f32le", "-ac", "1", "-ar", "16000", "-"), np.float32)


def hertz(sound: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(sound * np.hanning(sound.size))).argmax() * 16_000 / sound.size)


@pytest.mark.parametrize("begin", [0.5, 3.0, 7.3])
@pytest.mark.parametrize("kind", KINDS)
def test_a_lossless_trim_is_its_visible_part(
    tmp_path: Path, long: Path, long_sound: Path, kind: str, begin: float
) -> None:
    path = trim(long_sound if kind == "m4a" else long, tmp_path / f"cut.{kind}", begin, 2.0)
    found = probe(path)
    assert found.duration_seconds == pytest.approx(2.0, abs=0.2)  # ffmpeg copies whole packets
    sound, played = decode_audio(path), heard(path)
    assert sound.size == pytest.approx(played.size, abs=1024)  # at most the padding of the last packet more
    np.testing.assert_allclose(sound[: played.size], played[: sound.size], atol=1e-4)
    second = int(begin + 1)
    at = round((second - begin) * 16_000)
    assert hertz(sound[at + 1000 : at + 15_000]) == pytest.approx(300 + 100 * second, abs=5)
    if kind == "m4a":
        assert not found.has_video
        return
    pictures = shown(path)
    assert found.video_frames == len(pictures)
    assert found.fps == pytest.approx(25, abs=1)
    sampled = sample_frames(
        path, 4 * len(pictures)
    )  # where packets are missing at the end the last frames stand longer
    changes = [True, *(np.abs(np.diff(sampled.astype(int), axis=0)).max(axis=(1, 2, 3)) > 0)]
    np.testing.assert_array_equal(sampled[changes], pictures)


def test_the_file_does_hide_packets(tmp_path: Path, long: Path) -> None:
    """Or the test above would show nothing."""
    import av

    with av.open(str(trim(long, tmp_path / "cut.mp4", 7.3, 2.0))) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    assert sum(packet.is_discard for packet in packets) > 100
    assert min(packet.pts for packet in packets) < 0


def test_an_edit_list_that_ends_early(tmp_path: Path, long: Path) -> None:
    """As phones write it: the middle of a recording is shown, all of it is kept."""
    content = bytearray(long.read_bytes())
    place, header = 0, content.index(b"mvhd")
    movie_scale = int.from_bytes(content[header + 16 : header + 20], "big")
    while (place := content.find(b"elst", place + 1)) > 0:
        media = content.index(b"mdhd", place)
        scale = int.from_bytes(content[media + 16 : media + 20], "big")
        begin = int.from_bytes(content[place + 16 : place + 20], "big")
        content[place + 12 : place + 16] = (2 * movie_scale).to_bytes(4, "big")
        content[place + 16 : place + 20] = (begin + round(4.4 * scale)).to_bytes(4, "big")
    path = tmp_path / "edited.mp4"
    path.write_bytes(content)
    found = probe(path)
    assert found.duration_seconds == pytest.approx(2.0, abs=0.1)
    assert found.video_frames == len(shown(path)) == 50
    np.testing.assert_array_equal(sample_frames(path, 50), shown(path))
    assert decode_audio(path).size == pytest.approx(32_000, abs=1024)


def test_a_stream_that_begins_in_the_middle_of_a_group_of_pictures(tmp_path: Path, long: Path) -> None:
    """A recording of a broadcast: 60 frames come before the first that can be decoded."""
    two_groups = tmp_path / "whole.ts"
    ffmpeg(
        "-i",
        long,
        "-t",
        "6",
        "-c:v",
        "libx264",
        "-g",
        "75",
        "-keyint_min",
        "75",
        "-sc_threshold",
        "0",
        "-c:a",
        "aac",
        two_groups,
    )
    content = two_groups.read_bytes()
    path = tmp_path / "joined_late.ts"
    path.write_bytes(content[len(content) // 188 // 10 * 188 :])
    found = probe(path)
    assert found.has_video and found.has_audio


@pytest.mark.parametrize("kind", ["mkv", "ts", "avi", "flv"])
def test_containers_without_edit_lists_show_all_that_was_copied(
    tmp_path: Path, long: Path, kind: str
) -> None:
    rate = ("-c:a", "aac", "-ar", "44100") if kind == "flv" else ()
    path = tmp_path / f"cut.{kind}"
    ffmpeg("-ss", "7.3", "-i", long, "-t", "2", "-c", "copy", *rate, path)
    assert probe(path).video_frames == len(shown(path))
    assert decode_audio(path).size == pytest.approx(heard(path).size, abs=2100)
