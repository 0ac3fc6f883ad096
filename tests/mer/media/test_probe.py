from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mer.demo.clip_file import write_clip
from mer.errors import MediaError, QuarantineReason
from mer.media.probe import MediaLimits, probe, require_streams

Make = Callable[..., np.ndarray]


def test_facts_of_an_mp4(movie: Path) -> None:
    found = probe(movie)
    assert (found.has_audio, found.has_video, found.container) == (True, True, "mov")
    assert (found.width, found.height, found.video_frames) == (64, 64, 20)
    assert (found.sample_rate, found.channels) == (16_000, 1)
    assert (found.audio_codec, found.video_codec) == ("aac", "h264")
    assert found.duration_seconds == pytest.approx(2.0, abs=0.15)
    assert found.fps == pytest.approx(10.0, rel=0.01)
    require_streams(found, audio=True, video=True)


@pytest.mark.parametrize("suffix", ["flac", "wav", "ogg", "mp3", "aiff"])
def test_facts_of_audio_files(tmp_path: Path, tone: Make, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, tone(1.5, rate=22_050), 22_050)
    found = probe(path)
    assert (found.has_audio, found.has_video, found.width, found.fps) == (True, False, None, None)
    assert found.sample_rate == 22_050
    assert found.duration_seconds == pytest.approx(1.5, abs=0.1)


def test_a_name_with_another_suffix_changes_nothing(tmp_path: Path, movie: Path) -> None:
    disguised = tmp_path / "movie.wav"
    disguised.write_bytes(movie.read_bytes())
    assert probe(disguised) == probe(movie)


def test_a_clip_without_audio_is_probed_and_then_refused(silent_film: Path) -> None:
    found = probe(silent_film)
    assert (found.has_audio, found.has_video) == (False, True)
    require_streams(found, audio=False, video=True)
    with pytest.raises(MediaError) as caught:
        require_streams(found, audio=True)
    assert caught.value.reason is QuarantineReason.NO_AUDIO


def test_a_clip_without_video_is_refused_where_video_is_required(tmp_path: Path, tone: Make) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(0.5), 16_000)
    with pytest.raises(MediaError) as caught:
        require_streams(probe(path), video=True)
    assert caught.value.reason is QuarantineReason.NO_USABLE_STREAM


def test_one_frame_has_no_frame_rate(tmp_path: Path, counting_frames: Make) -> None:
    path = tmp_path / "one.mp4"
    write_clip(path, counting_frames(1), 10, None, 16_000)
    found = probe(path)
    assert (found.video_frames, found.fps) == (1, None)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (MediaLimits(max_seconds=1.0), QuarantineReason.TOO_LONG),
        (MediaLimits(max_bytes=100), QuarantineReason.TOO_LARGE),
        (MediaLimits(max_pixels=64 * 63), QuarantineReason.TOO_LARGE),
        (MediaLimits(max_streams=1), QuarantineReason.TOO_LARGE),
        (MediaLimits(timeout_seconds=1e-9), QuarantineReason.TIMED_OUT),
    ],
)
def test_limits_are_kept(movie: Path, limits: MediaLimits, reason: QuarantineReason) -> None:
    with pytest.raises(MediaError) as caught:
        probe(movie, limits)
    assert caught.value.reason is reason
