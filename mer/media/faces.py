"""Faces: one person followed through the sampled frames, square crops of one size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mer.media.face_alignment import aligned_crop
from mer.media.face_detection import Box, DetectedFace, FaceDetector, HaarDetector, YuNetDetector
from mer.media.face_tracks import FaceTrack, follow_faces, interpolated, leading_track

__all__ = [
    "NO_FACE",
    "SEVERAL_FACES",
    "Box",
    "DetectedFace",
    "FaceCrops",
    "FaceDetector",
    "HaarDetector",
    "YuNetDetector",
    "face_crops",
]

NO_FACE = "no_face"
SEVERAL_FACES = "several_faces"


@dataclass(frozen=True)
class FaceCrops:
    """Square crops around one face."""

    crops: NDArray[np.uint8]
    """uint8 (frames, size, size, 3), RGB."""
    flags: tuple[str, ...]
    """`no_face`: no frame showed one, the crops are the whole picture. `several_faces`: one was chosen, and in at least
    half of the frames that show any face another one was detected.
    """
    face_share: float | None = None
    """Share of the frames, 0..1, in which the followed face was detected (not interpolated); None without a
    detector.
    """


def face_crops(
    frames: NDArray[np.uint8],
    detector: FaceDetector | None,
    size: int,
    margin: float = 0.3,
    *,
    align: bool = False,
) -> FaceCrops:
    """Cut one face out of every frame.

    Detections are linked over the frames (`mer.media.face_tracks`); the track that is largest, most central and
    most persistent, all in one score, is cut out: nothing says which of several people speaks. In frames where no face was
    detected its place is interpolated; a frame that shows only others (another shot) is replaced by the nearest one that
    shows the followed face.

    Args:
        frames: uint8 (time, height, width, 3), RGB, time >= 1.
        detector: None stands for faces that already fill the picture: the middle square, without a flag.
        size: side of the crops, pixels.
        margin: added around the face on each side, as a share of its longer side (of the template when aligned).
        align: turn and scale the face so that eyes, nose and mouth lie at the same places in every crop, where
            the detector gives landmarks; a frame without them is cut by its box.

    Returns:
        the crops. Without any face the whole picture, padded with black to a square, flagged `no_face`.
    """
    if detector is None:
        return FaceCrops(np.stack([_middle(frame, size) for frame in frames]), ())
    detections = [detector.detect(frame) for frame in frames]
    track = leading_track(follow_faces(detections), picture=(frames.shape[2], frames.shape[1]))
    if track is None:
        return FaceCrops(np.stack([_whole(frame, size) for frame in frames]), (NO_FACE,), 0.0)
    followed: Sequence[DetectedFace] = interpolated(track, len(frames))
    crops = []
    for number in _frames_shown(track, detections):
        frame, face = frames[number], followed[number]
        landmarks = face.landmarks if align else None
        crops.append(
            _around(frame, face.box, size, margin)
            if landmarks is None
            else aligned_crop(frame, landmarks, size, margin)
        )
    flags = (SEVERAL_FACES,) if _others_share(track, detections) >= 0.5 else ()
    return FaceCrops(np.stack(crops), flags, len(track.faces) / len(frames))


def _frames_shown(track: FaceTrack, detections: Sequence[Sequence[DetectedFace]]) -> list[int]:
    """Which frame each crop is cut from: its own, or where only other faces were detected the nearest one with the track's."""
    known = sorted(track.faces)
    return [
        min(known, key=lambda other: abs(other - number)) if faces and number not in track.faces else number
        for number, faces in enumerate(detections)
    ]


def _others_share(track: FaceTrack, detections: Sequence[Sequence[DetectedFace]]) -> float:
    """Share of the frames with any face in which another face than the track's was detected."""
    shows_other = [len(faces) > (number in track.faces) for number, faces in enumerate(detections) if faces]
    return sum(shows_other) / len(shows_other)


def _around(frame: NDArray[np.uint8], box: Box, size: int, margin: float) -> NDArray[np.uint8]:
    """The square around a box; beyond the border the border's pixels are repeated."""
    side = max(2, round(max(box[2], box[3]) * (1 + 2 * margin)))
    left, top = round(box[0] + box[2] / 2 - side / 2), round(box[1] + box[3] / 2 - side / 2)
    height, width = frame.shape[:2]
    pads = (max(0, -top), max(0, top + side - height), max(0, -left), max(0, left + side - width))
    if any(pads):
        frame = np.asarray(cv2.copyMakeBorder(frame, *pads, cv2.BORDER_REPLICATE), dtype=np.uint8)
        left, top = left + pads[2], top + pads[0]
    return _resized(frame[top : top + side, left : left + side], size)


def _middle(frame: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    height, width = frame.shape[:2]
    side = min(height, width)
    left, top = round((width - side) / 2), round((height - side) / 2)
    return _resized(frame[top : top + side, left : left + side], size)


def _whole(frame: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    height, width = frame.shape[:2]
    across, down = max(height, width) - width, max(height, width) - height
    pads = (down // 2, down - down // 2, across // 2, across - across // 2)
    square = cv2.copyMakeBorder(frame, *pads, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    return _resized(np.asarray(square, dtype=np.uint8), size)


def _resized(square: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    how = cv2.INTER_AREA if square.shape[0] > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(square, (size, size), interpolation=how), dtype=np.uint8)
