"""Worlds of made features: three streams of clips by many speakers, whose classes a line, or only a curve, divides.

Every clip has 12 hidden values: what its class says, who speaks, and chance. Each stream shows 8 of them through a random matrix,
with noise of falling size in 24 directions, as features of encoders have it, and a little noise in each feature.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Form = Literal["linear", "curved", "noisy", "missing"]
FORMS: tuple[Form, ...] = ("linear", "curved", "noisy", "missing")
HIDDEN, SHOWN, DIRECTIONS = 12, 8, 24
TESTED = 1000
"""Clips of speakers of their own that are answered."""
WRONG_LABELS, MISSING = 0.2, 1 / 3

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class World:
    """Clips to learn from, first, and clips to answer."""

    streams: Mapping[str, Floats]
    """Stream -> (n + TESTED, D); a row of NaN: the clip lacks it."""
    given: NDArray[np.int64]
    """(n,) labels to learn from."""
    truth: NDArray[np.int64]
    """(TESTED,) labels of the others."""
    speakers: tuple[str, ...]
    """(n,) who speaks."""


def made_world(form: Form, clips: int, width: int, classes: int, seed: int) -> World:
    """A world.

    Args:
        form: `linear`: every class is one cloud; `curved`: three clouds each; `noisy`: linear, a fifth of the labels to learn
            from wrong; `missing`: linear, the widest stream missing for a third of all clips.
        clips: to learn from.
        width: of the widest stream; the others have a quarter and 24 features.
        classes: number of classes.
        seed: of everything.
    """
    rng = np.random.default_rng([seed, clips, width, classes, FORMS.index(form)])
    total = clips + TESTED
    truth = rng.integers(0, classes, total)
    speaker = np.concatenate(
        [rng.integers(0, max(4, clips // 40), clips), 10_000 + rng.integers(0, 25, TESTED)]
    )
    clouds = 3 if form == "curved" else 1
    means = rng.normal(0, 2.0 if clouds > 1 else 1.1, (classes, clouds, HIDDEN))
    offsets = rng.normal(0, 0.5, (20_000, HIDDEN))
    hidden = (
        means[truth, rng.integers(0, clouds, total)] + offsets[speaker] + rng.normal(0, 1, (total, HIDDEN))
    )
    streams = {
        name: _stream(rng, hidden[:, first : first + SHOWN], features)
        for name, first, features in (("acoustic", 0, width), ("visual", 3, width // 4), ("text", 4, 24))
    }
    if form == "missing":
        streams["acoustic"][rng.random(total) < MISSING] = np.nan
    given = truth[:clips].copy()
    if form == "noisy":
        wrong = rng.random(clips) < WRONG_LABELS
        given[wrong] = (given[wrong] + rng.integers(1, classes, int(wrong.sum()))) % classes
    return World(streams, given, truth[clips:], tuple(f"s{who}" for who in speaker[:clips]))


def _stream(rng: np.random.Generator, hidden: NDArray[np.float64], width: int) -> Floats:
    count, shown = hidden.shape
    sizes = 2.0 / np.sqrt(1 + np.arange(DIRECTIONS))
    noise = (rng.normal(0, 1, (count, DIRECTIONS)) * sizes) @ rng.normal(0, 1, (DIRECTIONS, width))
    signal = hidden @ rng.normal(0, 1, (shown, width))
    values = signal + noise + rng.normal(0, 2.0, (count, width))
    return (values * rng.lognormal(0, 0.5, width) + rng.normal(0, 3, width)).astype(np.float32)
