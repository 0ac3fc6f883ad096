"""The benchmark of face detectors: its composed clips, and that all of it runs."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import face_detection
from benchmarks.face_detection import HEIGHT, WIDTH, compose, measured
from mer.media.face_detection import DetectedFace


def grey_faces(count: int = 4) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, 48, 48), dtype=np.uint8)


@pytest.mark.parametrize(("number", "people"), [(0, 1), (1, 2), (2, 1), (3, 2)])
def test_composed_clips_say_where_the_faces_are(number: int, people: int) -> None:
    clip = compose(grey_faces(), number)
    assert clip.frames.shape == (6, HEIGHT, WIDTH, 3)
    assert {len(boxes) for boxes in clip.faces} == {people}
    for x, y, across, down in (box for boxes in clip.faces for box in boxes):
        assert 0 <= x <= WIDTH - across and 0 <= y <= HEIGHT - down
    assert (compose(grey_faces(), number).frames == clip.frames).all()


def test_figures_of_a_detector_that_knows_the_truth() -> None:
    clips = [compose(grey_faces(), number) for number in range(4)]
    answers = [[DetectedFace(box) for box in boxes[:1]] for clip in clips for boxes in clip.faces]

    class Knowing:
        def __init__(self) -> None:
            self.answers = iter(answers)

        def detect(self, picture: np.ndarray) -> list[DetectedFace]:
            return next(self.answers)

    figures = measured("true", Knowing(), clips)
    assert figures["true_frames_with_the_face"] == figures["true_frames_with_a_face"] == 1
    assert figures["true_false_alarms"] == figures["true_clips_missed"] == 0
    assert figures["true_face_pixels"] == pytest.approx(64 / 1.6, abs=1), "the margin is .3 on each side"
    assert measured("none", None, clips)["none_face_pixels"] < figures["true_face_pixels"]


@pytest.mark.slow
def test_all_of_it_runs(shared_data: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "empty.png"), np.zeros((64, 64, 3), np.uint8))
    (tmp_path / "notes.txt").write_text("no picture")
    files = {
        "--faces": shared_data / "data/fer2013-private/faces.npz",
        "--yunet": shared_data / "models/face_detection_yunet_2026may.onnx",
        "--pictures": tmp_path,
        "--json": tmp_path / "figures.json",
    }
    options = [text for option, path in files.items() for text in (option, str(path))]
    figures = face_detection.main(["--quick", *options])
    assert json.loads((tmp_path / "figures.json").read_text()) == figures
    assert figures["pictures"] == 1 and figures["yunet_faces_in_pictures"] == 0
    assert figures["yunet_frames_with_the_face"] > figures["haar_frames_with_the_face"]
    assert figures["yunet_face_pixels"] > 2 * figures["none_face_pixels"]
