"""Arrays as a user has them: emotion shows in two streams, one of which some clips lack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CLASSES = ("angry", "happy", "sad")
QUICK: dict[str, Any] = {"epochs": 6, "hidden": 8, "batch_size": 16, "learning_rate": 5e-3}
"""Options of fits that take a moment."""


@dataclass(frozen=True)
class Made:
    features: dict[str, NDArray[np.float32]]
    labels: NDArray[np.str_]
    speakers: NDArray[np.str_]
    frames: list[NDArray[np.float32] | None]
    """Speech frame by frame; None for clips 0 and 5."""
    valence: NDArray[np.float64]


def made_arrays(clips: int = 120, speakers: int = 8, seed: int = 0) -> Made:
    generator = np.random.default_rng(seed)
    emotion = generator.integers(0, 3, clips)
    shown = np.eye(3)[emotion] * 2.5
    speech = np.concatenate([shown, np.zeros((clips, 3))], axis=1) + generator.normal(0, 1, (clips, 6))
    face = shown + generator.normal(0, 1, (clips, 3))
    face[generator.random(clips) < 0.25] = np.nan
    frames: list[NDArray[np.float32] | None] = [
        (row + generator.normal(0, 1, (int(generator.integers(2, 7)), 6))).astype(np.float32)
        for row in speech
    ]
    frames[0] = frames[5] = None
    return Made(
        {"acoustic": speech.astype(np.float32), "visual": face.astype(np.float32)},
        np.array(CLASSES)[emotion],
        np.array([f"s{who}" for who in generator.integers(0, speakers, clips)]),
        frames,
        emotion - 1.0 + generator.normal(0, 0.2, clips),
    )
