"""Retrieval of sound by picture and of picture by sound: how well two spaces are aligned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RANKS = (1, 5, 10)


def recall_at(
    queries: NDArray[np.float32], gallery: NDArray[np.float32], ranks: Sequence[int] = RANKS
) -> dict[int, float]:
    """Share of queries whose own item is among the k most similar of the gallery.

    Args:
        queries: (clips, features) embeddings of unit length.
        gallery: (clips, features) embeddings of unit length; row i is query i's own item.
        ranks: values of k.

    Returns:
        Recall in [0, 1] by k. Among items exactly as similar as the own one the order counts as random:
        embeddings that are all alike score as chance does, not 1.
    """
    if len(queries) == 0:
        return dict.fromkeys(ranks, 0.0)
    similarity = queries @ gallery.T  # (clips, clips)
    own = np.diagonal(similarity)[:, None]
    ahead = (similarity > own).sum(axis=1)
    tied = (similarity == own).sum(axis=1) - 1  # besides itself
    return {k: float(np.clip((k - ahead) / (tied + 1), 0.0, 1.0).mean()) for k in ranks}


def chance_level(clips: int, ranks: Sequence[int] = RANKS) -> dict[int, float]:
    """Recall at k of a random order of `clips` items."""
    return {k: min(k / clips, 1.0) if clips else 0.0 for k in ranks}


def retrieval_figures(seen: NDArray[np.float32], heard: NDArray[np.float32]) -> dict[str, float]:
    """Recall at 1, 5 and 10 in both directions and the chance level, named for reports.

    Args:
        seen: (clips, features) visual embeddings of unit length.
        heard: (clips, features) acoustic embeddings of unit length, row by row of the same clips.
    """
    figures: dict[str, float] = {"retrieval_clips": float(len(seen))}
    figures |= {f"video_to_audio_r{k}": value for k, value in recall_at(seen, heard).items()}
    figures |= {f"audio_to_video_r{k}": value for k, value in recall_at(heard, seen).items()}
    figures |= {f"chance_r{k}": value for k, value in chance_level(len(seen)).items()}
    return figures
