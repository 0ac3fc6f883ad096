"""A drawn talking face: expression follows an emotion, the mouth follows the loudness of the speech."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
Canvas = NDArray[np.uint8]

_SIDE = 320
"""Faces are drawn at this size and shrunk: smooth edges."""


@dataclass(frozen=True)
class Expression:
    """Parameters of a face, each about -1..1, neutral 0."""

    brow_raise: float = 0.0
    brow_tilt: float = 0.0
    """Inner ends up (sad, worried) or down (angry)."""
    smile: float = 0.0
    jaw: float = 0.0
    """Mouth open without speaking."""
    eyes: float = 0.0
    """Eyes wide or narrow."""
    head_drop: float = 0.0


EXPRESSIONS: Mapping[str, Expression] = MappingProxyType(
    {
        "neutral": Expression(),
        "angry": Expression(brow_raise=-0.8, brow_tilt=-1.0, smile=-0.45, eyes=-0.35),
        "happy": Expression(brow_raise=0.2, smile=1.0, jaw=0.15, eyes=-0.25),
        "sad": Expression(brow_raise=-0.1, brow_tilt=0.8, smile=-0.8, eyes=-0.5, head_drop=0.7),
        "worried": Expression(brow_raise=0.45, brow_tilt=0.9, smile=-0.4, eyes=0.35),
        "surprise": Expression(brow_raise=1.0, jaw=0.6, eyes=0.8),
    }
)
"""Direction of the differences after the usual action units (brow lowerer, lip-corner puller, jaw drop and so
on).
"""


@dataclass(frozen=True)
class Looks:
    """One speaker's face."""

    skin: Colour
    hair: Colour
    backdrop: Colour
    width: float
    eye_distance: float
    hair_low: float
    habit: Expression
    """The speaker's own resting expression."""


def make_looks(speaker: int) -> Looks:
    """A face for a speaker number; equal numbers look alike in every corpus."""
    generator = np.random.default_rng([speaker, 77])
    skins = ((236, 200, 176), (222, 178, 148), (198, 150, 118), (160, 112, 84), (118, 80, 60))
    hairs = ((40, 30, 26), (92, 62, 38), (186, 146, 84), (120, 120, 124), (140, 66, 36))
    backdrop = generator.integers(60, 200, size=3)
    return Looks(
        skin=skins[speaker % len(skins)],
        hair=hairs[(speaker * 3 + 1) % len(hairs)],
        backdrop=(int(backdrop[0]), int(backdrop[1]), int(backdrop[2])),
        width=float(generator.uniform(0.72, 0.84)),
        eye_distance=float(generator.uniform(0.36, 0.42)),
        hair_low=float(generator.uniform(0.46, 0.60)),
        habit=Expression(*(float(value) for value in generator.normal(0, 0.1, size=6))),
    )


def draw_clip(
    looks: Looks,
    emotion: str,
    strength: float,
    loudness: NDArray[np.float32],
    size: int,
    generator: np.random.Generator,
) -> NDArray[np.uint8]:
    """Draw a clip.

    Args:
        looks: the speaker.
        emotion: what the face shows.
        strength: how strongly, about 0.6 to 1.4.
        loudness: (frames,), 0..1, opens the mouth.
        size: side of the result in pixels.
        generator: this clip's noise: expression, head movement, light, sensor.

    Returns:
        uint8 (frames, size, size, 3), RGB.
    """
    target = strength * np.array(astuple(EXPRESSIONS[emotion])) + np.array(astuple(looks.habit))
    target += generator.normal(0, 0.14, size=target.size)
    steps = generator.normal(0, 0.05, size=(len(loudness), target.size + 2))
    wander = np.cumsum(steps, axis=0) * 0.5
    light = generator.uniform(0.88, 1.1)
    offset = generator.normal(0, 3, size=2)
    frames = np.empty((len(loudness), size, size, 3), dtype=np.uint8)
    blink = int(generator.integers(2, max(3, len(loudness))))
    for number, open_by_voice in enumerate(loudness):
        expression = Expression(*(float(value) for value in target + wander[number, :6]))
        shift = offset + 8 * wander[number, 6:]
        large = draw_face(
            looks, expression, float(open_by_voice), (shift[0], shift[1]), number in {blink, blink + 1}
        )
        small = cv2.resize(large, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
        noisy = small * light + generator.normal(0, 3, size=(size, size, 1)).astype(np.float32)
        frames[number] = np.clip(noisy, 0, 255).astype(np.uint8)
    return frames


def draw_face(
    looks: Looks, expression: Expression, voice: float, shift: tuple[float, float], blink: bool = False
) -> Canvas:
    """One picture, uint8 (320, 320, 3), RGB, of a face showing `expression` with the mouth opened by `voice`
    (0..1).
    """
    canvas: Canvas = np.empty((_SIDE, _SIDE, 3), dtype=np.uint8)
    cv2.rectangle(canvas, (0, 0), (_SIDE, _SIDE), looks.backdrop, -1)
    x, y = _SIDE / 2 + shift[0], 165 + shift[1] + 10 * expression.head_drop
    half_width, half_height = 105 * looks.width, 112.0
    _ellipse(canvas, (x, y + 140), (105, 60), _shade(looks.hair, 1.3))  # shoulders
    _ellipse(canvas, (x, y - 18), (half_width * 1.13, half_height * 1.08), looks.hair)
    _box(canvas, (x - 28, y + 70), (x + 28, y + 150), _shade(looks.skin, 0.82))  # neck
    _ellipse(canvas, (x, y + 4), (half_width, half_height), looks.skin)
    _ellipse(canvas, (x, y - half_height * looks.hair_low - 34), (half_width * 0.95, 34), looks.hair)
    canvas = cv2.blur(canvas, (7, 7))  # soft outlines, as a lens gives
    for side in (-1, 1):
        _draw_eye(canvas, looks, expression, (x + side * 105 * looks.eye_distance, y - 14), side, blink)
        _ellipse(canvas, (x + side * half_width * 0.55, y + 38), (16, 10), _shade(looks.skin, 0.95, red=1.04))
    _line(canvas, [(x, y - 6), (x - 9, y + 28), (x + 7, y + 30)], _shade(looks.skin, 0.72), 4)
    _draw_mouth(canvas, looks, expression, voice, (x, y + 62))
    return canvas


def _draw_eye(
    canvas: Canvas, looks: Looks, expression: Expression, centre: tuple[float, float], side: int, blink: bool
) -> None:
    x, y = centre
    _ellipse(canvas, (x, y), (23, 15), _shade(looks.skin, 0.8))  # socket
    opening = 1.5 if blink else float(np.clip(8.5 + 6.5 * expression.eyes, 3, 16))
    _ellipse(canvas, (x, y), (17, opening), (244, 242, 238))
    if opening > 2:
        _ellipse(canvas, (x, y), (min(8.0, opening + 1), min(8.0, opening)), (52, 38, 30))
        _ellipse(canvas, (x + 2.5, y - 2.5), (2, 2), (250, 250, 250))
    _arc(canvas, (x, y), (18, opening + 1.5), 180, 360, _shade(looks.hair, 0.5), 4)  # upper lid
    height = y - 28 - 13 * expression.brow_raise
    inner, outer = height - 12 * expression.brow_tilt, height + 5 * expression.brow_tilt
    brow = [(x - side * 20, inner), (x + side * 2, (inner + outer) / 2 - 4), (x + side * 23, outer + 3)]
    _line(canvas, brow, _shade(looks.hair, 0.7), 8)


def _draw_mouth(
    canvas: Canvas, looks: Looks, expression: Expression, voice: float, centre: tuple[float, float]
) -> None:
    x, y = centre
    opening = float(np.clip(2 + 20 * voice + 22 * expression.jaw, 1.5, 40))
    half = 31 + 9 * expression.smile - 0.25 * opening
    along = np.linspace(-1, 1, 15)
    bend = 22 * expression.smile * (1 - along**2) - 11 * expression.smile  # corners up for a smile
    upper = np.stack([x + half * along, y + bend - 0.35 * opening * (1 - along**2)], axis=1)
    lower = np.stack([x + half * along, y + bend + 0.65 * opening * (1 - along**2)], axis=1)
    outline = np.concatenate([upper, lower[::-1]])
    _polygon(canvas, outline, (92, 30, 34))
    lips = _shade(looks.skin, 0.72, red=1.12)
    _line(canvas, list(upper), lips, 6)
    _line(canvas, list(lower), lips, 7)


_FRACTION_BITS = 4


def _fixed(point: tuple[float, float] | NDArray[np.float64]) -> tuple[int, int]:
    return round(float(point[0]) * 2**_FRACTION_BITS), round(float(point[1]) * 2**_FRACTION_BITS)


def _ellipse(canvas: Canvas, centre: tuple[float, float], axes: tuple[float, float], colour: Colour) -> None:
    cv2.ellipse(canvas, _fixed(centre), _fixed(axes), 0, 0, 360, colour, -1, cv2.LINE_AA, _FRACTION_BITS)


def _arc(
    canvas: Canvas,
    centre: tuple[float, float],
    axes: tuple[float, float],
    start: int,
    stop: int,
    colour: Colour,
    thickness: int,
) -> None:
    cv2.ellipse(
        canvas, _fixed(centre), _fixed(axes), 0, start, stop, colour, thickness, cv2.LINE_AA, _FRACTION_BITS
    )


def _box(canvas: Canvas, corner: tuple[float, float], opposite: tuple[float, float], colour: Colour) -> None:
    cv2.rectangle(canvas, _fixed(corner), _fixed(opposite), colour, -1, cv2.LINE_AA, _FRACTION_BITS)


def _line(
    canvas: Canvas,
    points: list[tuple[float, float]] | list[NDArray[np.float64]],
    colour: Colour,
    thickness: int,
) -> None:
    path = np.array([_fixed(point) for point in points], dtype=np.int32)[:, None]
    cv2.polylines(canvas, [path], False, colour, thickness, cv2.LINE_AA, _FRACTION_BITS)


def _polygon(canvas: Canvas, points: NDArray[np.float64], colour: Colour) -> None:
    path = np.array([_fixed(point) for point in points], dtype=np.int32)[:, None]
    cv2.fillPoly(canvas, [path], colour, cv2.LINE_AA, _FRACTION_BITS)


def _shade(colour: Colour, factor: float, *, red: float = 1.0) -> Colour:
    shaded = [min(255, max(0, round(channel * factor))) for channel in colour]
    return min(255, round(shaded[0] * red)), shaded[1], shaded[2]
