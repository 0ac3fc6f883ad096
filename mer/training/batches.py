"""Batches of clips of similar length: little is padded."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

SORTED_BATCHES = 8
"""Batches whose clips are drawn together and sorted by length.

Little padding, yet every epoch mixes clips anew.
"""


def length_sorted_batches(
    rows: NDArray[np.int64],
    lengths: NDArray[np.int64],
    batch_size: int,
    generator: torch.Generator | None = None,
) -> list[NDArray[np.int64]]:
    """Split rows into batches of similar length.

    Args:
        rows: (n,) rows to serve, each exactly once.
        lengths: (clips,) frames of every clip of the table.
        batch_size: clips in a batch (the last one may be smaller).
        generator: draws the order of an epoch; None sorts all rows (for reading).
    """
    if generator is None:
        ordered = rows[np.argsort(lengths[rows], kind="stable")]
        return [ordered[i : i + batch_size] for i in range(0, len(ordered), batch_size)]
    shuffled = rows[torch.randperm(len(rows), generator=generator).numpy()]
    batches: list[NDArray[np.int64]] = []
    for begin in range(0, len(shuffled), batch_size * SORTED_BATCHES):
        group = shuffled[begin : begin + batch_size * SORTED_BATCHES]
        group = group[np.argsort(lengths[group], kind="stable")]
        batches += [group[i : i + batch_size] for i in range(0, len(group), batch_size)]
    return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]
