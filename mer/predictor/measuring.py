"""What drift compares of some clips, as a package reads them: calibrated probabilities of all that was read, and frozen features.

Nothing here asks how far an answer is to be trusted: what flags and doubts decide changes no measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mer.clips import Clip
from mer.domain.training_domain import clip_vectors
from mer.predictor.loaded import LoadedParts
from mer.predictor.package import ModelPackage
from mer.predictor.predictor import served_system
from mer.predictor.reading import BatchReading


def read_with_package(
    folder: Path, weights: Path, clips: Sequence[Clip], batch_clips: int = 64
) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float32]]]:
    """Probabilities and features of N clips, each read once.

    Args:
        folder: of a package.
        weights: cache folder of encoder weights.
        clips: N clips, at least one.
        batch_clips: clips that are in memory together.

    Returns:
        (N, C) calibrated probabilities; table -> (N, D) frozen features, NaN where a clip lacks the stream.
    """
    package = ModelPackage.read(folder)
    system, parts = served_system(package, folder), LoadedParts(package, folder, weights)
    shares: list[NDArray[np.float64]] = []
    vectors: dict[str, list[NDArray[np.float32]]] = {}
    for begin in range(0, len(clips), batch_clips):
        reading = BatchReading(parts, clips[begin : begin + batch_clips])
        posteriors = system.posteriors({level: reading.streams(level) for level in system.levels})
        shares.append(posteriors.probabilities(package.temperature))
        for name, table in reading.frozen().items():
            rows = clip_vectors(table).astype(np.float32)
            vectors.setdefault(name, []).append(np.where(table.present[:, None], rows, np.float32(np.nan)))
    return np.concatenate(shares), {name: _stacked(batches) for name, batches in vectors.items()}


def _stacked(batches: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The rows of all batches; one in which no clip has the stream may have guessed another width, and is NaN anyway."""
    width = max(
        (batch.shape[1] for batch in batches if not np.isnan(batch).all()), default=batches[0].shape[1]
    )
    return np.concatenate(
        [
            batch if batch.shape[1] == width else np.full((len(batch), width), np.float32(np.nan))
            for batch in batches
        ]
    )
