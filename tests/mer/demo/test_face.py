from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from mer.demo.face import EXPRESSIONS, Expression, draw_clip, draw_face, make_looks
from mer.emotions import MER_EMOTIONS


def mouth_height(picture: np.ndarray) -> int:
    """Rows of the middle column between nose and chin that show the dark inside of the mouth."""
    column = picture[200:275, 160].astype(int)
    return int(((column.sum(axis=1) < 260) & (column[:, 0] > column[:, 2])).sum())


@pytest.mark.parametrize("speaker", [0, 1, 5])
def test_the_mouth_opens_with_the_voice(speaker: int) -> None:
    heights = [
        mouth_height(draw_face(make_looks(speaker), Expression(), voice, (0, 0))) for voice in (0, 0.5, 1.0)
    ]
    assert heights[0] < heights[1] < heights[2]


def test_every_emotion_has_a_face_of_its_own() -> None:
    assert set(EXPRESSIONS) == set(MER_EMOTIONS)
    pictures = [
        draw_face(make_looks(0), EXPRESSIONS[emotion], 0.2, (0, 0)).astype(int) for emotion in MER_EMOTIONS
    ]
    for i, one in enumerate(pictures):
        for other in pictures[i + 1 :]:
            assert np.abs(one - other).mean() > 0.8


def test_mouth_corners_go_up_for_a_smile() -> None:
    def corner_rows(smile: float) -> float:
        """Mean row of what a smile changes at the left corner of the mouth."""
        plain = draw_face(make_looks(0), Expression(), 0.0, (0, 0)).astype(int)
        smiling = draw_face(make_looks(0), Expression(smile=smile), 0.0, (0, 0)).astype(int)
        darker = (plain - smiling)[190:270, 120:140].sum(axis=(1, 2)).clip(min=0)
        return float((darker * np.arange(darker.size)).sum() / darker.sum())

    assert corner_rows(1.0) < corner_rows(-1.0) - 5


def test_clips_are_pictures_that_move_and_depend_on_the_generator_alone() -> None:
    loudness = np.linspace(0, 1, 6, dtype=np.float32)

    def clip(seed: int) -> np.ndarray:
        return draw_clip(make_looks(2), "sad", 1.0, loudness, 96, np.random.default_rng(seed))

    frames = clip(1)
    assert (frames.shape, frames.dtype) == ((6, 96, 96, 3), np.uint8)
    assert np.abs(np.diff(frames.astype(int), axis=0)).mean() > 1
    np.testing.assert_array_equal(frames, clip(1))
    assert not np.array_equal(frames, clip(2))


def test_speakers_look_different_and_always_the_same() -> None:
    looks = [make_looks(speaker) for speaker in range(10)]
    assert looks == [make_looks(speaker) for speaker in range(10)]
    assert len({replace(look, habit=Expression()) for look in looks}) == 10


def test_the_drawing_stays() -> None:
    """Pictures of the demo corpus are comparable between versions: frames before the codec, as clips of seed 2023 draw them."""
    digest = hashlib.sha256()
    for number, emotion in enumerate(MER_EMOTIONS):
        generator = np.random.default_rng([2023, 3, number])
        loudness = np.linspace(0, 1, 4, dtype=np.float32)
        digest.update(draw_clip(make_looks(number), emotion, 1.0, loudness, 160, generator).tobytes())
    assert digest.hexdigest() == "8cf9e1e6ef93ad886aa778c5cb89c9e59c9752215918ee175dcb3c492694fc7a"
