from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mer.errors import MediaError, QuarantineReason
from mer.media import frames
from mer.media.audio import decode_audio
from mer.media.ffmpeg import audio_command, decode_audio_by_ffmpeg, decode_frames_by_ffmpeg, frames_command
from mer.media.opening import MediaLimits
from mer.media.sniff import Container


@pytest.mark.parametrize("what", ["audio", "frames"])
def test_the_command_line_is_guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.chdir(tmp_path)
    clip = Path("clip.mp4")
    command = (
        audio_command(clip, Container.ISO, 16_000, 30.0)
        if what == "audio"
        else frames_command(clip, Container.ISO, 4, 2.0, 640, 10**6)
    )
    assert "-nostdin" in command
    source = command.index("-i")
    assert (
        command[source + 1] == f"file:{tmp_path / 'clip.mp4'}"
    )  # absolute: never an option, never a protocol
    before_input = command[:source]
    assert before_input[before_input.index("-protocol_whitelist") + 1] == "file"
    assert before_input[before_input.index("-f") + 1] == "mov"  # the demuxer is ours to choose


def test_the_program_and_pyav_agree(movie: Path) -> None:
    by_program = decode_audio_by_ffmpeg(movie, Container.ISO, 16_000, 30.0, MediaLimits())
    by_library = decode_audio(movie)
    size = min(by_program.size, by_library.size)
    np.testing.assert_allclose(by_program[:size], by_library[:size], atol=2e-3)


@pytest.mark.parametrize("count", [1, 4, 7])
def test_the_program_and_pyav_sample_the_same_frames(movie: Path, count: int) -> None:
    by_program = decode_frames_by_ffmpeg(movie, Container.ISO, count, 2.0, 1280, MediaLimits())
    by_library = frames.sample_frames(movie, count)
    assert by_program.shape == by_library.shape
    np.testing.assert_allclose(by_program.mean(axis=(1, 2, 3)), by_library.mean(axis=(1, 2, 3)), atol=3)


def test_the_program_scales_down_and_repeats_what_is_missing(movie: Path) -> None:
    small = decode_frames_by_ffmpeg(movie, Container.ISO, 6, 4.0, 32, MediaLimits())  # it lasts 2 s only
    assert small.shape == (6, 32, 32, 3)
    assert decode_frames_by_ffmpeg(movie, Container.ISO, 3, 0.0, 64, MediaLimits()).shape == (3, 64, 64, 3)


def test_pictures_over_the_limit_are_not_decoded(movie: Path) -> None:
    with pytest.raises(MediaError) as caught:
        decode_frames_by_ffmpeg(movie, Container.ISO, 4, 2.0, 64, MediaLimits(max_pixels=64 * 63))
    assert caught.value.reason is QuarantineReason.DECODE_FAILED


def test_frames_that_pyav_cannot_decode_are_left_to_the_program(
    movie: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = frames.sample_frames(movie, 4)
    monkeypatch.setattr(frames, "_decode", lambda stream, packet: [])
    found = frames.sample_frames(movie, 4)
    np.testing.assert_allclose(found.mean(axis=(1, 2, 3)), expected.mean(axis=(1, 2, 3)), atol=3)


def test_what_it_cannot_decode_is_a_typed_error(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(100))
    with pytest.raises(MediaError) as caught:
        decode_audio_by_ffmpeg(path, Container.ISO, 16_000, 30.0, MediaLimits())
    assert caught.value.reason is QuarantineReason.DECODE_FAILED


def test_a_playlist_is_not_followed_even_if_it_gets_here(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n")
    with pytest.raises(MediaError):
        decode_audio_by_ffmpeg(path, Container.ISO, 16_000, 30.0, MediaLimits())


def test_it_is_stopped_in_time(movie: Path) -> None:
    with pytest.raises(MediaError) as caught:
        decode_audio_by_ffmpeg(movie, Container.ISO, 16_000, 30.0, MediaLimits(hang_seconds=1e-3))
    assert caught.value.reason is QuarantineReason.TIMED_OUT


def test_names_that_begin_like_options_are_read(movie: Path, tmp_path: Path) -> None:
    path = tmp_path / "-i.mp4"
    path.write_bytes(movie.read_bytes())
    sound = decode_audio_by_ffmpeg(path, Container.ISO, 16_000, 30.0, MediaLimits())
    assert np.array_equal(sound, decode_audio_by_ffmpeg(movie, Container.ISO, 16_000, 30.0, MediaLimits()))


def test_unsafe_names_do_not_reach_it(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="begins with"):
        decode_audio_by_ffmpeg(tmp_path / "=i.mp4", Container.ISO, 16_000, 1.0, MediaLimits())
