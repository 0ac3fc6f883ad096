from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mer.demo.clip_file import write_clip

RATE = 16_000


def _tone(seconds: float, hertz: float = 440.0, rate: int = RATE) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def _counting_frames(count: int, side: int = 64) -> np.ndarray:
    grey = (np.arange(count) * 8 % 256).astype(np.uint8)
    return np.broadcast_to(grey[:, None, None, None], (count, side, side, 3)).copy()


@pytest.fixture(scope="session")
def tone() -> Callable[..., np.ndarray]:
    """tone(seconds, hertz, rate): a sine of amplitude .5."""
    return _tone


@pytest.fixture(scope="session")
def counting_frames() -> Callable[..., np.ndarray]:
    """counting_frames(count): frame n is uniformly of grey 8 n, which survives lossy coding."""
    return _counting_frames


@pytest.fixture(scope="session")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2 s of h264 at 10 fps (frame n has grey 8 n) with a 440 Hz tone in AAC, in an mp4 file."""
    path = tmp_path_factory.mktemp("media") / "movie.mp4"
    write_clip(path, _counting_frames(20), 10, _tone(2.0), RATE)
    return path


@pytest.fixture(scope="session")
def silent_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1 s of h264 without an audio track."""
    path = tmp_path_factory.mktemp("media") / "silent.mp4"
    write_clip(path, _counting_frames(10), 10, None, RATE)
    return path
