"""Successive halving over models that train side by side (Jamieson and Talwalkar 2016; known).

Their epochs are synchronous, so a rung sees all candidates at once and nothing has to be paused.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from mer.errors import ConfigError


class SuccessiveHalving:
    """Called after every epoch: at every rung the best share goes on.

    Args:
        candidates: models at the start; a rung's share counts from these, so that candidates that stopped by themselves
            (and stay in the race with their best score) do not make room for more.
        first_rung: epochs before the first cut.
        factor: of those at a rung 1 / `factor` go on, and the next rung is `factor` times as late.
    """

    def __init__(self, candidates: int, *, first_rung: int, factor: int) -> None:
        if first_rung < 1 or factor < 2:
            raise ConfigError(
                f"halving: expected a first rung of at least 1 epoch and a factor of at least 2, found {first_rung}, {factor}"
            )
        self._left = candidates
        self._rung, self._factor = first_rung, factor
        self._scores: dict[int, float] = {}

    def __call__(self, epoch: int, best: Mapping[int, float]) -> Collection[int]:
        """Which of the models still training are given up now."""
        self._scores.update(best)
        if epoch != self._rung or self._left == 1:
            return ()
        self._rung *= self._factor
        self._left = max(1, self._left // self._factor)
        # models that ended by themselves before this rung compete with what they reached
        ranked = sorted(self._scores, key=lambda index: (-_known(self._scores[index]), index))
        survivors = set(ranked[: self._left])
        self._scores = {index: score for index, score in self._scores.items() if index in survivors}
        return [index for index in best if index not in survivors]


def _known(score: float) -> float:
    return -math.inf if math.isnan(score) else score
