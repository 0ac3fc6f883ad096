"""Paired randomisation test of two systems on the same clips, and Holm's correction where several are tested.

If two systems are equally good, it is chance which of the two gave which answers: a speaker's answers may be exchanged between
them, all at once, since clips of one speaker succeed and fail together. The p-value is the share of such exchanges whose
difference of scores is at least as large, either way, as the one that is found (known: Noreen 1989; for F1 Yeh 2000, "More
accurate tests for the statistical significance of result differences"; exchanging whole speakers is ours). Few speakers are
enumerated, so the p-value is exact; with S speakers on whom the two differ it is never below 2 / 2^S.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.evaluation.intervals import Score, group_confusions, resampling_groups
from mer.evaluation.metrics import Floats, waf

EXACT_GROUPS = 12
"""Most speakers whose exchanges are all enumerated (4,096)."""
DRAWS = 4999
"""Exchanges that are drawn where there are more speakers."""
_AT_ONCE = 4_000_000
"""Exchanges times speakers that are held at a time."""
_ROUNDING = 1e-12


@dataclass(frozen=True)
class PairedTest:
    """Whether two systems differ by more than chance."""

    p_value: float
    """Two-sided, in (0, 1]."""
    exchanges: int
    """Exchanges that were looked at, the one that is found among them."""
    exact: bool
    """Whether these are all there are."""
    groups: int
    """Speakers (or clips, where speakers are unknown) that were exchanged: those on whom the two systems differ."""


def paired_randomisation(
    truth: NDArray[np.int64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    speakers: Sequence[str | None],
    classes: int,
    *,
    score: Score = waf,
    seed: int = 0,
) -> PairedTest:
    """Test whether the scores of two systems differ.

    Args:
        truth: (N,) class index.
        first: (N,) class index that the first system predicts.
        second: (N,) of the second.
        speakers: (N,) speaker or None; a clip of unknown speaker is exchanged by itself.
        classes: number of classes.
        score: any score of confusion counts.
        seed: of the exchanges that are drawn.

    Raises:
        ConfigError: another number of speakers than clips.
    """
    groups = resampling_groups(speakers, len(truth))
    counts = [group_confusions(truth, predicted, groups, classes) for predicted in (first, second)]
    differ = (counts[0] != counts[1]).any(axis=(1, 2))
    total = [one.sum(axis=0) for one in counts]
    apart = (
        counts[1][differ] - counts[0][differ]
    )  # what exchanging a speaker adds to the first system's counts
    found = abs(float(score(total[0]) - score(total[1])))
    beyond = exchanges = 0
    for chosen in _exchanges(len(apart), seed):
        differences = _differences(chosen, apart, total, score)
        beyond += int((np.abs(differences) >= found - _ROUNDING).sum())
        exchanges += len(chosen)
    return PairedTest(
        p_value=beyond / exchanges,
        exchanges=exchanges,
        exact=len(apart) <= EXACT_GROUPS,
        groups=len(apart),
    )


def _exchanges(groups: int, seed: int) -> Iterator[Floats]:
    """(B, groups) 1 where a group's answers are exchanged, the first row nowhere: all there are, or `DRAWS` that are drawn."""
    if groups <= EXACT_GROUPS:
        yield ((np.arange(2**groups)[:, None] >> np.arange(groups)) & 1).astype(np.float64)
        return
    yield np.zeros((1, groups))
    generator = np.random.default_rng(seed)
    at_once = max(1, _AT_ONCE // groups)
    for begin in range(0, DRAWS, at_once):
        yield generator.integers(0, 2, (min(at_once, DRAWS - begin), groups)).astype(np.float64)


def _differences(
    chosen: Floats, apart: NDArray[np.float64], total: Sequence[NDArray[np.float64]], score: Score
) -> Floats:
    """(B,) difference of the scores of both systems after each exchange."""
    moved = (chosen @ apart.reshape(len(apart), total[0].size)).reshape(len(chosen), *total[0].shape)
    return np.asarray(score(total[0] + moved) - score(total[1] - moved))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """P-values adjusted for how many there are, in their order: each at a level keeps the chance of any wrong one below it.

    Known: Holm 1979, "A simple sequentially rejective multiple test procedure". It holds however the tests depend on each other.
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    adjusted = [0.0] * len(p_values)
    reached = 0.0
    for rank, place in enumerate(order):
        reached = max(reached, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = reached
    return tuple(adjusted)
