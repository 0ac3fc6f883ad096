"""How unlike a class is to be the true one, by calibrated probabilities: three nonconformity scores, the smaller the likelier.

Sources: `lac`, least ambiguous sets (Sadinle, Lei and Wasserman 2019); `aps`, adaptive sets (Romano, Sesia and Candes 2020);
`raps`, the same with a penalty for every class beyond the first (Angelopoulos, Bates, Jordan and Malik 2021; for few classes
the penalty is our choice). Known; but nothing is drawn by chance, so that equal clips get equal answers: a class's own
probability, of which a random share counts there, does not count, and the most probable class has the score 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
ScoreName = Literal["lac", "aps", "raps"]

RAPS_PENALTY = 0.1
"""Added for every class beyond the first that a set would have."""


def lac(probabilities: Floats) -> Floats:
    """(N, C) one minus the class's own probability."""
    return 1 - probabilities


def aps(probabilities: Floats) -> Floats:
    """(N, C) probability of all that are likelier than the class; equal ones in class order."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    ordered = np.take_along_axis(probabilities, order, axis=1)
    scores = np.empty_like(ordered)
    np.put_along_axis(scores, order, np.cumsum(ordered, axis=1) - ordered, axis=1)
    return scores


def raps(probabilities: Floats) -> Floats:
    """(N, C) as `aps`, and `RAPS_PENALTY` for every likelier class."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(order.shape[1]), order.shape), axis=1)
    return aps(probabilities) + RAPS_PENALTY * rank


SCORES: Mapping[ScoreName, Callable[[Floats], Floats]] = MappingProxyType(
    {"lac": lac, "aps": aps, "raps": raps}
)
"""Name -> score."""
