from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small models on a busy machine: more threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def pairs() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """200 clips whose face and voice share four of their directions, under much that they do not share."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(200, 4))
    visual = shared @ rng.normal(size=(4, 20)) + 0.5 * rng.normal(size=(200, 20)) + 3
    own = rng.normal(size=(200, 6)) * 3  # loud, and told by no face
    acoustic = (
        shared @ rng.normal(size=(4, 40)) + own @ rng.normal(size=(6, 40)) + 0.3 * rng.normal(size=(200, 40))
    )
    return visual.astype(np.float32), acoustic.astype(np.float32)


@pytest.fixture(scope="session")
def crops() -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """72 clips of three frames: a disc whose place and size the acoustic vector tells."""
    rng = np.random.default_rng(1)
    told = rng.uniform(-1, 1, size=(72, 3))
    y, x = np.mgrid[-1:1:32j, -1:1:32j]
    frames = np.zeros((72, 3, 32, 32, 3))
    for clip, (across, down, size) in enumerate(told):
        for frame in range(3):
            shift = rng.normal(size=2) * 0.05
            inside = (x - 0.6 * across - shift[0]) ** 2 + (y - 0.6 * down - shift[1]) ** 2 < (
                0.35 + 0.2 * size
            ) ** 2
            frames[clip, frame] = 40 + 180 * inside[..., None] + rng.normal(size=(32, 32, 1)) * 10
    acoustic = told @ rng.normal(size=(3, 24)) + 0.1 * rng.normal(size=(72, 24))
    return frames.clip(0, 255).astype(np.uint8), acoustic.astype(np.float32)
