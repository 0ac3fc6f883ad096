"""Which detections are one person: greedy linking by overlap and distance, and the track worth cutting out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from mer.media.face_detection import Box, DetectedFace

_LEAST_AFFINITY = 0.25
"""Detections whose affinity to a track is lower begin a track of their own."""


@dataclass
class FaceTrack:
    """One person: the frames in which the face was detected, in ascending order."""

    faces: dict[int, DetectedFace] = field(default_factory=dict)

    @property
    def last(self) -> Box:
        """Box of the latest detection."""
        return self.faces[max(self.faces)].box


def follow_faces(detections: Sequence[Sequence[DetectedFace]]) -> list[FaceTrack]:
    """Link detections (one list a frame) into tracks; a track may pause for any number of frames.

    In every frame the pair of track and detection with the highest affinity is linked first. Affinity is
    intersection over union, or, because sampled frames lie far apart in time and a face may have moved off its last
    box, one minus the distance of the centres in face sides; faces of more than twice the size are strangers.
    """
    tracks: list[FaceTrack] = []
    for number, faces in enumerate(detections):
        pairs = sorted(
            (
                (affinity(track.last, face.box), -which, -index)
                for which, track in enumerate(tracks)
                for index, face in enumerate(faces)
            ),
            reverse=True,
        )
        free_tracks, free_faces = set(range(len(tracks))), set(range(len(faces)))
        for value, which, index in ((value, -which, -index) for value, which, index in pairs):
            if value >= _LEAST_AFFINITY and which in free_tracks and index in free_faces:
                tracks[which].faces[number] = faces[index]
                free_tracks.remove(which)
                free_faces.remove(index)
        tracks.extend(FaceTrack({number: faces[index]}) for index in sorted(free_faces))
    return tracks


def leading_track(tracks: Sequence[FaceTrack], picture: tuple[int, int]) -> FaceTrack | None:
    """The largest, most central, most persistent track; None if there is none.

    Every detection counts with its side as a share of the picture's shorter side, times 1 in the middle of the
    picture falling to .5 in its corners; the sum over all frames decides, so that persistence multiplies.

    Args:
        tracks: from `follow_faces`.
        picture: width and height of the frames, pixels.
    """
    width, height = picture

    def weight(face: DetectedFace) -> float:
        x, y, across, down = face.box
        off = math.hypot(x + across / 2 - width / 2, y + down / 2 - height / 2) / math.hypot(
            width / 2, height / 2
        )
        return math.sqrt(across * down) / min(width, height) * (1 - min(1.0, off) / 2)

    return max(tracks, key=lambda track: sum(weight(face) for face in track.faces.values()), default=None)


def interpolated(track: FaceTrack, count: int) -> list[DetectedFace]:
    """The face in each of `count` frames: boxes and landmarks between two detections are interpolated linearly,
    before the first and after the last they stay.
    """
    known = sorted(track.faces)
    first, last = track.faces[known[0]], track.faces[known[-1]]
    result = [first] * (known[0] + 1)
    for begin, end in pairwise(known):
        result += [
            _between(track.faces[begin], track.faces[end], (number - begin) / (end - begin))
            for number in range(begin + 1, end)
        ]
        result.append(track.faces[end])
    return result + [last] * (count - len(result))


def affinity(first: Box, second: Box) -> float:
    """How likely two boxes are the same face a moment apart, 0..1; symmetric, 1 for equal boxes."""
    sides = math.sqrt(first[2] * first[3]), math.sqrt(second[2] * second[3])
    if max(sides) > 2 * min(sides):
        return 0.0
    across = (first[0] + first[2] / 2) - (second[0] + second[2] / 2)
    down = (first[1] + first[3] / 2) - (second[1] + second[3] / 2)
    nearness = 1 - math.hypot(across, down) / (sum(sides) / 2)
    return max(overlap(first, second), nearness, 0.0)


def overlap(first: Box, second: Box) -> float:
    """Intersection over union of two boxes, 0..1."""
    across = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    down = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    common = max(0.0, across) * max(0.0, down)
    return common / (first[2] * first[3] + second[2] * second[3] - common)


def _between(first: DetectedFace, second: DetectedFace, share: float) -> DetectedFace:
    box = (1 - share) * np.asarray(first.box) + share * np.asarray(second.box)
    landmarks = None
    if first.landmarks is not None and second.landmarks is not None:
        landmarks = ((1 - share) * first.landmarks + share * second.landmarks).astype(np.float32)
    x, y, width, height = (float(value) for value in box)
    return DetectedFace((x, y, width, height), landmarks, min(first.score, second.score))
