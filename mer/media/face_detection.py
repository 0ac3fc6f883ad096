"""Face detectors: boxes, and five landmarks where the detector gives them."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from mer.errors import WeightsError

Box = tuple[float, float, float, float]
"""x, y, width, height in pixels; x and y may lie outside the picture."""

Landmarks = NDArray[np.float32]
"""(5, 2) x and y in pixels: the eye, the eye, the tip of the nose, the corners of the mouth; of each pair the
one that is further left in the picture of an upright face comes first.
"""

_DETECTION_SIDE = 640


@dataclass(frozen=True, eq=False)
class DetectedFace:
    """One face in one picture."""

    box: Box
    landmarks: Landmarks | None = None
    score: float = 1.0
    """How sure the detector is, 0..1; 1 where it does not say."""


class FaceDetector(Protocol):
    """Finds faces in one RGB picture."""

    def detect(self, picture: NDArray[np.uint8]) -> list[DetectedFace]:
        """Return the faces found in uint8 (height, width, 3) RGB, the largest first."""
        ...


class YuNetDetector:
    """OpenCV's YuNet (`cv2.FaceDetectorYN`): boxes and landmarks. The model is an ONNX file the user points to.

    Source: W. Wu, H. Peng, S. Yu, "YuNet: A Tiny Millisecond-level Face Detector", 2023.
    """

    def __init__(self, model_path: Path, *, score_threshold: float = 0.6) -> None:
        if not model_path.is_file():
            raise WeightsError(f"face detector: expected YuNet's ONNX file at {model_path}, found none")
        try:
            self._detector = cv2.FaceDetectorYN.create(str(model_path), "", (320, 320), score_threshold)
        except cv2.error as error:
            raise _no_yunet(model_path, error) from error
        self._lock = threading.Lock()  # the input size is state of the detector

    def detect(self, picture: NDArray[np.uint8]) -> list[DetectedFace]:
        """Return the faces found in uint8 (height, width, 3) RGB, the largest first."""
        small, scale = _for_detection(picture)
        with self._lock:
            self._detector.setInputSize((small.shape[1], small.shape[0]))
            _, rows = self._detector.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        if rows is None:
            return []
        return _largest_first(  # a row: box, five points, score
            DetectedFace(
                box=_box(row[:4] / scale),
                landmarks=(row[4:14] / scale).reshape(5, 2).astype(np.float32),
                score=float(row[14]),
            )
            for row in rows
        )


def try_yunet(model_path: Path) -> None:
    """Run YuNet's file once on an empty picture: OpenCV opens other ONNX models as well, which fail only then.

    Raises:
        WeightsError: the file is absent or no model that OpenCV reads as YuNet.
    """
    detector = YuNetDetector(model_path)
    try:
        detector.detect(np.zeros((320, 320, 3), np.uint8))
    except (cv2.error, IndexError) as error:
        raise _no_yunet(model_path, error) from error


def _no_yunet(model_path: Path, error: Exception) -> WeightsError:
    return WeightsError(
        f"face detector: expected YuNet's ONNX file, found {model_path}, which is not an ONNX model that OpenCV can read as YuNet"
        f" ({' '.join(str(error).split())[:200]})"
    )


class HaarDetector:
    """The frontal-face cascade inside the OpenCV wheel: weaker than YuNet, no landmarks, needs no file."""

    def __init__(self) -> None:
        cascade = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"
        self._cascade = cv2.CascadeClassifier(str(cascade))
        if self._cascade.empty():
            raise WeightsError(
                f"OpenCV's face cascade is missing at {cascade}: reinstall opencv-python-headless"
            )
        self._lock = threading.Lock()

    def detect(self, picture: NDArray[np.uint8]) -> list[DetectedFace]:
        """Return the faces found in uint8 (height, width, 3) RGB, the largest first."""
        small, scale = _for_detection(picture)
        with self._lock:
            rows = self._cascade.detectMultiScale(
                cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), 1.1, 4, minSize=(24, 24)
            )
        return _largest_first(DetectedFace(box=_box(np.asarray(row) / scale)) for row in rows)


def _for_detection(picture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    scale = min(1.0, _DETECTION_SIDE / max(picture.shape[:2]))
    if scale == 1.0:
        return picture, scale
    shrunken = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(shrunken, dtype=np.uint8), scale


def _box(values: NDArray[np.floating]) -> Box:
    x, y, width, height = (float(value) for value in values)
    return x, y, width, height


def _largest_first(faces: Iterable[DetectedFace]) -> list[DetectedFace]:
    usable = [face for face in faces if face.box[2] > 1 and face.box[3] > 1]
    return sorted(usable, key=lambda face: -face.box[2] * face.box[3])
