from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mer.demo.face import Expression, draw_face, make_looks
from mer.errors import WeightsError
from mer.media.face_alignment import TEMPLATE, similarity_transform, template_for
from mer.media.face_detection import Box, DetectedFace
from mer.media.faces import NO_FACE, SEVERAL_FACES, HaarDetector, YuNetDetector, face_crops


def drawn_face() -> np.ndarray:
    return draw_face(make_looks(0), Expression(), 0.1, (0.0, 0.0))


class Scripted:
    """A detector that gives a fixed list of boxes, or of faces, per frame."""

    def __init__(self, answers: list[list[Box]] | list[list[DetectedFace]]) -> None:
        self.answers = iter(answers)

    def detect(self, picture: np.ndarray) -> list[DetectedFace]:
        return [face if isinstance(face, DetectedFace) else DetectedFace(face) for face in next(self.answers)]


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


A, B = (10.0, 80.0, 50.0, 50.0), (130.0, 80.0, 48.0, 48.0)


@pytest.mark.parametrize(
    ("detections", "several"),
    [
        ([[A]] * 6, False),
        ([[A, B]] + [[A]] * 5, False),  # a passer-by, or one false alarm
        ([[A, B]] * 2 + [[A]] * 4, False),
        ([[A, B]] * 3 + [[A]] * 3, True),
        ([[A, B]] * 6, True),
        ([[A]] * 3 + [[B]] * 3, True),  # two people by turns, one in each shot
        ([[A]] * 5 + [[B]], False),
        ([[A, B], [], [], [], [], []], True),  # of the frames that show any face
    ],
)
def test_several_faces_are_flagged_where_most_frames_show_others(
    detections: list[list[Box]], several: bool
) -> None:
    flags = face_crops(gradient(6), Scripted(detections), 16).flags
    assert flags == ((SEVERAL_FACES,) if several else ())


def test_a_shot_of_somebody_else_is_replaced_by_the_nearest_one_of_the_followed_face() -> None:
    frames = gradient(6)
    frames[..., 2] = np.arange(6, dtype=np.uint8)[:, None, None] * 10  # blue: number of the frame
    found = face_crops(frames, Scripted([[B], [A], [A], [], [A], [B]]), 16, margin=0.0)
    assert found.crops[..., 2].mean(axis=(1, 2)).tolist() == [10, 10, 20, 30, 40, 40]
    for crop in found.crops:
        assert centre(crop) == pytest.approx((35, 105), abs=1.5)


def test_no_face_gives_the_whole_picture_and_a_flag() -> None:
    wide = np.full((2, 100, 200, 3), 200, np.uint8)
    found = face_crops(wide, Scripted([[], []]), 20)
    assert (found.flags, found.face_share) == ((NO_FACE,), 0.0)
    assert found.crops.shape == (2, 20, 20, 3)
    assert (found.crops[:, 5:15] == 200).all()  # as wide as the picture
    assert (found.crops[:, :4] == 0).all()
    assert (found.crops[:, 16:] == 0).all()


def test_without_a_detector_the_middle_square_is_taken_without_a_flag() -> None:
    wide = np.concatenate([gradient(1), 0 * gradient(1)], axis=2)
    found = face_crops(wide, None, 20)
    assert (found.flags, found.face_share) == ((), None)
    assert (found.crops[:, :, 11:] == 0).all()


def test_the_share_of_frames_with_the_followed_face_is_reported() -> None:
    face = (80.0, 40.0, 30.0, 40.0)
    assert face_crops(gradient(4), Scripted([[face], [], [face], [face]]), 16).face_share == 0.75


def test_a_missed_frame_is_interpolated_between_its_neighbours() -> None:
    first, last = (40.0, 40.0, 40.0, 40.0), (56.0, 60.0, 40.0, 40.0)
    found = face_crops(gradient(5), Scripted([[first], [], [], [], [last]]), 16, margin=0.0)
    assert [centre(crop)[0] for crop in found.crops] == pytest.approx([60, 64, 68, 72, 76], abs=1.5)
    assert [centre(crop)[1] for crop in found.crops] == pytest.approx([60, 65, 70, 75, 80], abs=1.5)


def test_a_face_that_leaves_its_last_box_is_still_followed() -> None:
    """Sampled frames lie far apart: boxes one after the other need not overlap by half."""
    walk = [(20.0 + 25 * n, 80.0, 50.0, 50.0) for n in range(5)]
    stranger = (140.0, 10.0, 50.0, 50.0)
    found = face_crops(gradient(5), Scripted([[box, stranger] for box in walk]), 16, margin=0.0)
    assert [centre(crop)[0] for crop in found.crops] == pytest.approx(
        [45 + 25 * n for n in range(5)], abs=1.5
    )


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ([[(10.0, 75.0, 30.0, 30.0)]] * 6, "larger"),
        ([[(5.0, 5.0, 50.0, 50.0)]] * 6, "more central"),
        ([[(20.0, 80.0, 52.0, 52.0)]] * 2 + [[]] * 4, "more persistent"),
    ],
)
def test_the_largest_most_central_most_persistent_face_is_chosen(other: list[list[Box]], why: str) -> None:
    chosen = (110.0, 80.0, 50.0, 50.0)
    found = face_crops(gradient(6), Scripted([[*boxes, chosen] for boxes in other]), 16, margin=0.0)
    assert [centre(crop)[0] for crop in found.crops] == pytest.approx([135] * 6, abs=1.5), why


def turned(points: np.ndarray, degrees: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    cosine, sine = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return points @ np.array([[cosine, sine], [-sine, cosine]]) + shift


@given(st.floats(-180, 180), st.floats(0.1, 10), st.tuples(st.floats(-500, 500), st.floats(-500, 500)))
@hypothesis_settings(max_examples=50, deadline=None)
def test_the_similarity_transform_is_found_again(
    degrees: float, scale: float, shift: tuple[float, float]
) -> None:
    target = turned(TEMPLATE.astype(np.float64), degrees, scale, shift)
    matrix = similarity_transform(TEMPLATE, target)
    np.testing.assert_allclose(TEMPLATE @ matrix[:, :2].T + matrix[:, 2], target, atol=1e-3 * max(1, scale))


def test_a_mirrored_face_is_not_mirrored_back() -> None:
    matrix = similarity_transform(TEMPLATE * [-1, 1], TEMPLATE)
    assert np.linalg.det(matrix[:, :2]) > 0


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_alignment_puts_the_landmarks_where_the_template_has_them(scale: float) -> None:
    """Coloured dots at the landmarks of a face that is tilted by 25 degrees and of any size."""
    landmarks = turned(TEMPLATE, 25.0, scale, (90.0, 40.0)).astype(np.float32)
    picture = np.zeros((480, 480, 3), np.uint8)
    for x, y in landmarks:
        cv2.circle(picture, (round(float(x)), round(float(y))), max(1, round(3 * scale)), (255, 255, 255), -1)
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    face = DetectedFace((*map(float, low), *map(float, high - low)), landmarks)  # type: ignore[arg-type]
    size, margin = 96, 0.2
    (crop,) = face_crops(picture[None], Scripted([[face]]), size, margin, align=True).crops
    _, marks, _, centres = cv2.connectedComponentsWithStats((crop[..., 0] > 60).astype(np.uint8))
    assert len(centres) == 6, marks.max()  # the background and five dots
    found = sorted(map(tuple, centres[1:]))
    assert np.abs(np.array(found) - sorted(map(tuple, template_for(size, margin)))).max() < 1.0


def test_a_frame_without_landmarks_is_cut_by_its_box() -> None:
    box = (80.0, 40.0, 30.0, 40.0)
    plain = face_crops(gradient(1), Scripted([[box]]), 16)
    aligned = face_crops(gradient(1), Scripted([[box]]), 16, align=True)
    np.testing.assert_array_equal(plain.crops, aligned.crops)


def test_the_cascade_in_the_wheel_finds_a_drawn_face_and_none_in_noise() -> None:
    detector = HaarDetector()
    boxes = detector.detect(drawn_face())
    assert boxes
    x, y, width, height = boxes[0].box
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
    assert detector.detect(large)[0].box[2] == pytest.approx(5 * detector.detect(face)[0].box[2], rel=0.1)


def test_yunet_gives_five_landmarks_that_alignment_turns_upright(shared_data: Path) -> None:
    detector = YuNetDetector(shared_data / "models/face_detection_yunet_2026may.onnx")
    face = drawn_face()
    height, width = face.shape[:2]
    tilted = cv2.warpAffine(
        face,
        cv2.getRotationMatrix2D((width / 2, height / 2), 15, 1.0),
        (width, height),
        borderMode=cv2.BORDER_REPLICATE,
    )
    left_eye, right_eye = detector.detect(tilted)[0].landmarks[:2]  # type: ignore[index]
    assert left_eye[0] < right_eye[0]
    slope = np.degrees(np.arctan2(right_eye[1] - left_eye[1], right_eye[0] - left_eye[0]))
    assert slope == pytest.approx(-15, abs=6)
    (upright,) = face_crops(tilted[None], detector, 200, 0.6, align=True).crops
    left_eye, right_eye = detector.detect(upright)[0].landmarks[:2]  # type: ignore[index]
    slope = np.degrees(np.arctan2(right_eye[1] - left_eye[1], right_eye[0] - left_eye[0]))
    assert slope == pytest.approx(0, abs=4)


def test_a_detector_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="found none"):
        YuNetDetector(tmp_path / "absent.onnx")
    wrong = tmp_path / "wrong.onnx"
    wrong.write_bytes(b"not a model")
    with pytest.raises(WeightsError):
        YuNetDetector(wrong)
