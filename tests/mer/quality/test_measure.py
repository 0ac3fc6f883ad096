from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from mer.demo.clip_file import write_clip
from mer.demo.face import Expression, draw_face, make_looks
from mer.errors import MediaError, QuarantineReason
from mer.media.contained import ContainedMedia
from mer.media.faces import HaarDetector, YuNetDetector
from mer.quality.measure import brightness, measure_quality


def film(path: Path, pictures: np.ndarray, sound: np.ndarray | None = None) -> Path:
    write_clip(path, pictures, 10, sound, 16_000)
    return path


def talking_head(frames: int, visible: int) -> np.ndarray:
    """A drawn face in the first `visible` frames, an empty grey picture after."""
    face = draw_face(make_looks(0), Expression(), 0.1, (0.0, 0.0))
    empty = np.full_like(face, 90)
    return np.stack([face] * visible + [empty] * (frames - visible))


def test_a_film_with_speech_has_all_values(tmp_path: Path, spoken_clips: list[np.ndarray]) -> None:
    found = measure_quality(film(tmp_path / "a.mp4", talking_head(30, 30), spoken_clips[0]), HaarDetector())
    assert found.duration_seconds == pytest.approx(spoken_clips[0].size / 16_000, abs=0.2)
    assert found.speech_seconds is not None
    assert 1.0 < found.speech_seconds < 2.5
    assert found.snr_db is not None
    assert found.snr_db > 25
    assert found.face_share == 1.0
    assert found.brightness is not None
    assert 0.1 < found.brightness < 0.9


@pytest.mark.parametrize(("visible", "share"), [(0, 0.0), (16, 0.5), (32, 1.0)])
def test_the_share_of_frames_with_a_face(
    tmp_path: Path, shared_data: Path, visible: int, share: float
) -> None:
    detector = YuNetDetector(shared_data / "models/face_detection_yunet_2026may.onnx")
    path = film(tmp_path / "a.mp4", talking_head(32, visible))
    assert measure_quality(path, detector, frames=8).face_share == share
    assert measure_quality(path).face_share is None


def test_brightness_follows_the_light(tmp_path: Path) -> None:
    found = [
        measure_quality(film(tmp_path / f"{grey}.mp4", np.full((5, 64, 64, 3), grey, np.uint8))).brightness
        for grey in (0, 64, 128, 255)
    ]
    assert found == pytest.approx([0, 64 / 255, 128 / 255, 1], abs=0.03)


def test_green_is_brighter_than_blue() -> None:
    pure = np.zeros((3, 2, 2, 3), np.uint8)
    for channel in range(3):
        pure[channel, ..., channel] = 255
    red, green, blue = (brightness(picture[None]) for picture in pure)
    assert green > red > blue
    assert red + green + blue == pytest.approx(1.0)


def test_what_a_clip_lacks_is_not_measured(tmp_path: Path, spoken_clips: list[np.ndarray]) -> None:
    sound = tmp_path / "a.wav"
    soundfile.write(sound, spoken_clips[0], 16_000)
    found = measure_quality(sound, HaarDetector())
    assert (found.face_share, found.brightness) == (None, None)
    assert found.speech_seconds is not None
    silent = measure_quality(film(tmp_path / "b.mp4", talking_head(10, 10)), HaarDetector())
    assert (silent.speech_seconds, silent.snr_db, silent.face_share) == (None, None, 1.0)


@pytest.mark.slow
def test_decoding_in_another_process_gives_the_same(tmp_path: Path, spoken_clips: list[np.ndarray]) -> None:
    path = film(tmp_path / "a.mp4", talking_head(30, 20), spoken_clips[0])
    with ContainedMedia() as contained:
        assert measure_quality(path, HaarDetector(), contained=contained) == measure_quality(
            path, HaarDetector()
        )


def test_what_is_no_clip_has_no_quality(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"not media" * 100)
    with pytest.raises(MediaError) as caught:
        measure_quality(path)
    assert caught.value.reason is QuarantineReason.NOT_MEDIA
