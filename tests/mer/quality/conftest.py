from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mer.media.audio import decode_audio


@pytest.fixture(scope="session")
def spoken_clips(shared_data: Path) -> list[np.ndarray]:
    """Eight clean recordings of eight speakers and emotions, float32 at 16 kHz, with silence at both ends."""
    folder = shared_data / "data/ravdess/audio"
    return [
        decode_audio(folder / f"03-01-0{code}-01-01-01-{actor:02d}.flac")
        for code, actor in zip(range(1, 9), range(1, 25, 3), strict=True)
    ]
