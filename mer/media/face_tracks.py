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
        """Where it was seen last."""
        return self.faces[max(self.faces)].box


def follow_faces(detections: Sequence[Sequence[DetectedFace]]) -> list[FaceTrack]:
    """Link detections (one list a frame) into tracks; a track may pause for any number of frames.

    In every frame the pair of track and detection with the highest affinity is linked first. Affinity is
    intersection over union, or, because sampled frames lie far apart in time and a face may have moved off its last
    box, one minus the distance of the centres in face sides; faces of more than twice the size are strangers.
    """
    tracks: list[FaceTrack] = []
    for number, found in enumerate(detections):
        pairs = sorted(
            (
                (affinity(track.last, face.box), -which, -place)
                for which, track in enumerate(tracks)
                for place, face in enumerate(found)
            ),
            reverse=True,
        )
        free_tracks, free_faces = set(range(len(tracks))), set(range(len(found)))
        for value, which, place in ((value, -which, -place) for value, which, place in pairs):
            if value >= _LEAST_AFFINITY and which in free_tracks and place in free_faces:
                tracks[which].faces[number] = found[place]
                free_tracks.remove(which)
                free_faces.remove(place)
        tracks.extend(FaceTrack({number: found[place]}) for place in sorted(free_faces))
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


def affinity(one: Box, other: Box) -> float:
    """How likely two boxes are the same face a moment apart, 0..1; symmetric, 1 for equal boxes."""
    sides = math.sqrt(one[2] * one[3]), math.sqrt(other[2] * other[3])
    if max(sides) > 2 * min(sides):
        return 0.0
    across = (one[0] + one[2] / 2) - (other[0] + other[2] / 2)
    down = (one[1] + one[3] / 2) - (other[1] + other[3] / 2)
    nearness = 1 - math.hypot(across, down) / (sum(sides) / 2)
    return max(overlap(one, other), nearness, 0.0)


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes, 0..1."""
    across = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    down = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    common = max(0.0, across) * max(0.0, down)
    return common / (one[2] * one[3] + other[2] * other[3] - common)


def _between(one: DetectedFace, other: DetectedFace, share: float) -> DetectedFace:
    box = (1 - share) * np.asarray(one.box) + share * np.asarray(other.box)
    landmarks = None
    if one.landmarks is not None and other.landmarks is not None:
        landmarks = ((1 - share) * one.landmarks + share * other.landmarks).astype(np.float32)
    x, y, width, height = (float(value) for value in box)
    return DetectedFace((x, y, width, height), landmarks, min(one.score, other.score))
