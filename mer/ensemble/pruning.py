"""Which members an ensemble keeps, judged by the true labels of held-out clips.

Known: structured pruning of the combination improved it (follow-up of Wang et al. 2023 at ICASSP 2024). Reconstruction: greedy
selection with replacement (Caruana et al. 2004) and backward elimination. Ties keep the smaller ensemble, then earlier members.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from mer.ensemble.combine import aligned_members, uniform
from mer.errors import ConfigError
from mer.evaluation.calibration import negative_log_likelihood
from mer.evaluation.metrics import confusion, waf
from mer.posteriors import Posteriors

Combine = Callable[[Sequence[Posteriors]], Posteriors]
Score = Callable[[Posteriors, NDArray[np.int64]], float]
"""Score of posteriors against true labels, larger is better."""


def weighted_f1(posteriors: Posteriors, truth: NDArray[np.int64]) -> float:
    """WAF of the clips that have a label."""
    known = truth >= 0
    return float(waf(confusion(truth[known], posteriors.predicted[known], posteriors.logits.shape[1])))


def mean_log_likelihood(posteriors: Posteriors, truth: NDArray[np.int64]) -> float:
    """Mean log-probability of the true class: smooth, where weighted F1 of a few clips is a matter of luck."""
    known = truth >= 0
    return -negative_log_likelihood(posteriors.logits[known], truth[known])


def greedy_selection(
    members: Sequence[Posteriors],
    truth: NDArray[np.int64],
    *,
    combine: Combine = uniform,
    score: Score = weighted_f1,
    rounds: int = 20,
) -> tuple[int, ...]:
    """Add, `rounds` times, the member that helps most, the same one again if need be; keep the best prefix.

    Args:
        members: M models' posteriors of the same held-out clips.
        truth: (N,) class index of the first member's clips, -1 = unlabelled.
        combine: how members become one.
        score: what is maximised.
        rounds: most draws.

    Returns:
        Positions of the chosen members, sorted; a position that occurs k times counts k-fold.

    Raises:
        ConfigError: no labelled clips, or members that do not fit together.
    """
    aligned = _checked(members, truth)
    chosen: list[int] = []
    best: tuple[int, ...] = ()
    best_score = -np.inf
    for _ in range(rounds):
        trials = [score(combine([aligned[i] for i in [*chosen, new]]), truth) for new in range(len(aligned))]
        chosen.append(int(np.argmax(trials)))
        if max(trials) > best_score:
            best, best_score = tuple(sorted(chosen)), max(trials)
    return best


def backward_elimination(
    members: Sequence[Posteriors],
    truth: NDArray[np.int64],
    *,
    combine: Combine = uniform,
    score: Score = weighted_f1,
) -> tuple[int, ...]:
    """Remove, one by one, the member whose absence helps most, as long as the score does not fall.

    Arguments, errors and result as in `greedy_selection`; no position occurs twice.
    """
    aligned = _checked(members, truth)
    retained = list(range(len(aligned)))
    best = score(combine(aligned), truth)
    while len(retained) > 1:
        trials = [score(combine([aligned[i] for i in retained if i != gone]), truth) for gone in retained]
        if max(trials) < best:
            break
        # of equal ones the last: earlier members stay
        best, index = max(trials), len(trials) - 1 - int(np.argmax(trials[::-1]))
        del retained[index]
    return tuple(retained)


def _checked(members: Sequence[Posteriors], truth: NDArray[np.int64]) -> list[Posteriors]:
    aligned = aligned_members(members)
    if len(truth) != len(aligned[0]) or not (truth >= 0).any():
        raise ConfigError(
            f"pruning: expected labels of {len(aligned[0])} held-out clips, found {int((truth >= 0).sum())} labels "
            f"in {len(truth)}"
        )
    return aligned
