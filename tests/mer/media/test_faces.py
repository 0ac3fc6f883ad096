from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mer.demo.face import Expression, draw_face, make_looks
from mer.errors import WeightsError
from mer.media.faces import NO_FACE, SEVERAL_FACES, Box, HaarDetector, YuNetDetector, face_crops


def drawn_face() -> np.ndarray:
    return draw_face(make_looks(0), Expression(), 0.1, (0.0, 0.0))


class Scripted:
    """A detector that gives a fixed list of boxes per frame."""

    def __init__(self, answers: list[list[Box]]) -> None:
        self.answers = iter(answers)

    def detect(self, picture: np.ndarray) -> list[Box]:
        return next(self.answers)


def gradient(count: int = 3) -> np.ndarray:
    """Pixel (y, x) has red = x, green = y: a crop tells where it was cut."""
    y, x = np.mgrid[0:200, 0:200].astype(np.uint8)
    return np.broadcast_to(np.stack([x, y, 0 * x], axis=-1), (count, 200, 200, 3)).copy()


def centre(crop: np.ndarray) -> tuple[float, float]:
    return float(crop[..., 0].mean()), float(crop[..., 1].mean())


def test_crops_are_square_around_the_box() -> None:
    crops = face_crops(gradient(1), Scripted([[(80, 40, 30, 40)]]), 16, margin=0.0).crops
    assert (crops.shape, crops.dtype) == ((1, 16, 16, 3), np.uint8)
    assert centre(crops[0]) == pytest.approx((95, 60), abs=1.5)
    assert int(crops[0, :, -1, 0].mean()) - int(crops[0, :, 0, 0].mean()) == pytest.approx(40, abs=4)


def test_margin_widens_and_borders_are_repeated() -> None:
    crops = face_crops(gradient(1), Scripted([[(0, 0, 40, 40)]]), 32, margin=0.5).crops[0]
    assert (
        crops[0, 0, 0] == crops[0, 8, 0] == 0 or crops[0, 0, 0] <= 2
    )  # outside the picture: its first column
    assert int(crops[0, -1, 0]) == pytest.approx(59, abs=3)


def test_frames_without_a_detection_take_the_nearest_box() -> None:
    found = face_crops(gradient(3), Scripted([[], [(80, 40, 30, 40)], []]), 16, margin=0.0)
    assert found.flags == ()
    for crop in found.crops:
        assert centre(crop) == pytest.approx((95, 60), abs=1.5)


def test_the_same_face_is_followed_among_several() -> None:
    left, right = (10.0, 80.0, 50.0, 50.0), (130.0, 80.0, 52.0, 52.0)
    found = face_crops(gradient(3), Scripted([[left], [right, left], [right, left]]), 16, margin=0.0)
    assert found.flags == (SEVERAL_FACES,)
    for crop in found.crops:
        assert centre(crop)[0] == pytest.approx(35, abs=1.5)


def test_no_face_gives_the_middle_of_the_picture_and_a_flag() -> None:
    wide = np.concatenate([gradient(2), gradient(2)], axis=2)
    found = face_crops(wide, Scripted([[], []]), 20)
    assert found.flags == (NO_FACE,)
    assert found.crops.shape == (2, 20, 20, 3)
    assert face_crops(wide, None, 20).flags == ()
    np.testing.assert_array_equal(found.crops, face_crops(wide, None, 20).crops)


def test_the_cascade_in_the_wheel_finds_a_drawn_face_and_none_in_noise() -> None:
    detector = HaarDetector()
    boxes = detector.detect(drawn_face())
    assert boxes
    x, y, width, height = boxes[0]
    assert (x + width / 2, y + height / 2) == pytest.approx((160, 165), abs=35)
    assert detector.detect(np.zeros((200, 200, 3), np.uint8)) == []


def test_yunet_finds_one_face_and_two(shared_data: Path) -> None:
    detector = YuNetDetector(shared_data / "models/face_detection_yunet_2026may.onnx")
    face = drawn_face()
    assert len(detector.detect(face)) == 1
    both = np.concatenate([face, face], axis=1)
    assert len(detector.detect(both)) == 2
    assert SEVERAL_FACES in face_crops(both[None], detector, 32).flags
    large = np.kron(face, np.ones((5, 5, 1), np.uint8))  # boxes come back in the picture's own pixels
    assert detector.detect(large)[0][2] == pytest.approx(5 * detector.detect(face)[0][2], rel=0.1)


def test_a_detector_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="found none"):
        YuNetDetector(tmp_path / "absent.onnx")
    wrong = tmp_path / "wrong.onnx"
    wrong.write_bytes(b"not a model")
    with pytest.raises(WeightsError):
        YuNetDetector(wrong)
