"""Faces: detection, one face followed through the sampled frames, square crops of one size."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from mer.errors import WeightsError

Box = tuple[float, float, float, float]
"""x, y, width, height in pixels; x and y may lie outside the picture."""

NO_FACE = "no_face"
SEVERAL_FACES = "several_faces"

_DETECTION_SIDE = 640


class FaceDetector(Protocol):
    """Finds faces in one RGB picture."""

    def detect(self, picture: NDArray[np.uint8]) -> list[Box]:
        """Return the boxes found in uint8 (height, width, 3) RGB, the largest first."""
        ...


@dataclass(frozen=True)
class FaceCrops:
    """Square crops around one face."""

    crops: NDArray[np.uint8]
    """uint8 (frames, size, size, 3), RGB."""
    flags: tuple[str, ...]
    """`no_face`: no frame showed one, the crops are the middle of the picture. `several_faces`: one was
    chosen.
    """


class YuNetDetector:
    """OpenCV's YuNet (`cv2.FaceDetectorYN`); the model is an ONNX file the user points to."""

    def __init__(self, model_path: Path, *, score_threshold: float = 0.6) -> None:
        if not model_path.is_file():
            raise WeightsError(f"expected YuNet's ONNX file at {model_path}, found none")
        try:
            self._detector = cv2.FaceDetectorYN.create(str(model_path), "", (320, 320), score_threshold)
        except cv2.error as error:
            raise WeightsError(f"{model_path} is not an ONNX model that OpenCV can read: {error}") from error
        self._lock = threading.Lock()  # the input size is state of the detector

    def detect(self, picture: NDArray[np.uint8]) -> list[Box]:
        """Return the boxes found in uint8 (height, width, 3) RGB, the largest first."""
        small, scale = _for_detection(picture)
        with self._lock:
            self._detector.setInputSize((small.shape[1], small.shape[0]))
            _, rows = self._detector.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        return _sorted(
            [] if rows is None else [tuple(float(value) / scale for value in row[:4]) for row in rows]
        )


class HaarDetector:
    """The frontal-face cascade inside the OpenCV wheel: weaker than YuNet, needs no file."""

    def __init__(self) -> None:
        cascade = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"
        self._cascade = cv2.CascadeClassifier(str(cascade))
        if self._cascade.empty():
            raise WeightsError(
                f"OpenCV's face cascade is missing at {cascade}: reinstall opencv-python-headless"
            )
        self._lock = threading.Lock()

    def detect(self, picture: NDArray[np.uint8]) -> list[Box]:
        """Return the boxes found in uint8 (height, width, 3) RGB, the largest first."""
        small, scale = _for_detection(picture)
        with self._lock:
            rows = self._cascade.detectMultiScale(
                cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), 1.1, 4, minSize=(24, 24)
            )
        return _sorted([tuple(float(value) / scale for value in row) for row in rows])


def face_crops(
    frames: NDArray[np.uint8], detector: FaceDetector | None, size: int, margin: float = 0.3
) -> FaceCrops:
    """Cut one face out of every frame.

    Where several faces are seen the largest is followed (by overlap with its last box); a frame without a
    detection takes the box of the nearest frame that has one. Without a detector, or without any face, the
    middle square is taken.

    Args:
        frames: uint8 (time, height, width, 3), RGB.
        detector: None stands for faces that already fill the picture: the middle square, without a flag.
        size: side of the crops, pixels.
        margin: added around the box on each side, as a share of its longer side.
    """
    boxes, several = _follow(frames, detector) if detector is not None else ([None] * len(frames), False)
    flags = (
        *((NO_FACE,) if detector is not None and not any(boxes) else ()),
        *((SEVERAL_FACES,) if several else ()),
    )
    filled = _fill_gaps(boxes)
    crops = [_crop(frame, box, size, margin) for frame, box in zip(frames, filled, strict=True)]
    return FaceCrops(np.stack(crops), flags)


def _follow(frames: NDArray[np.uint8], detector: FaceDetector) -> tuple[list[Box | None], bool]:
    boxes: list[Box | None] = []
    several, last = False, None
    for frame in frames:
        found = detector.detect(frame)
        several |= len(found) > 1
        box = (
            max(found, key=lambda one: _overlap(one, last))
            if found and last
            else (found[0] if found else None)
        )
        boxes.append(box)
        last = box or last
    return boxes, several


def _fill_gaps(boxes: Sequence[Box | None]) -> list[Box | None]:
    known = [place for place, box in enumerate(boxes) if box is not None]
    if not known:
        return list(boxes)
    return [boxes[min(known, key=lambda other: abs(other - place))] for place in range(len(boxes))]


def _crop(frame: NDArray[np.uint8], box: Box | None, size: int, margin: float) -> NDArray[np.uint8]:
    height, width = frame.shape[:2]
    if box is None:
        side = min(height, width)
        centre_x, centre_y = width / 2, height / 2
    else:
        side = max(2, round(max(box[2], box[3]) * (1 + 2 * margin)))
        centre_x, centre_y = box[0] + box[2] / 2, box[1] + box[3] / 2
    left, top = round(centre_x - side / 2), round(centre_y - side / 2)
    pads = (max(0, -top), max(0, top + side - height), max(0, -left), max(0, left + side - width))
    if any(pads):
        frame = cv2.copyMakeBorder(frame, *pads, cv2.BORDER_REPLICATE)
        left, top = left + pads[2], top + pads[0]
    square = frame[top : top + side, left : left + side]
    shrink = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(square, (size, size), interpolation=shrink), dtype=np.uint8)


def _for_detection(picture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    scale = min(1.0, _DETECTION_SIDE / max(picture.shape[:2]))
    if scale == 1.0:
        return picture, scale
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), scale


def _sorted(boxes: Sequence[tuple[float, ...]]) -> list[Box]:
    usable = [(box[0], box[1], box[2], box[3]) for box in boxes if box[2] > 1 and box[3] > 1]
    return sorted(usable, key=lambda box: -box[2] * box[3])


def _overlap(one: Box, other: Box | None) -> float:
    """Intersection over union of two boxes."""
    if other is None:
        return 0.0
    across = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    down = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    common = max(0.0, across) * max(0.0, down)
    return common / (one[2] * one[3] + other[2] * other[3] - common)
