"""What one annotator says of a clip, and the label that follows from all that do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_EQUAL = 1e-9
"""Sums of weights that differ by less are equal: .7 + .3 is 1, whatever the order."""


@dataclass(frozen=True, kw_only=True)
class Vote:
    """One annotator's say on one clip. Several emotions of one annotator are several votes that share a weight."""

    annotator: str | None
    """Name; None: a count of votes whose annotators are not known."""
    emotion: str | None
    """A class of the emotion set; None: only the valence was judged."""
    weight: float = 1.0
    """Weight, 0 or more; of counted votes their number."""
    valence: float | None = None
    """In [-5, 5]; None: not judged."""


def weights_of(votes: Iterable[Vote]) -> dict[str, float]:
    """Emotion -> summed weight, heaviest first, then by name; emotions without any weight are left out."""
    sums: defaultdict[str, float] = defaultdict(float)
    for vote in votes:
        if vote.emotion is not None and vote.weight > 0:
            sums[vote.emotion] += vote.weight
    return dict(sorted(sums.items(), key=lambda item: (-item[1], item[0])))


def shares_of(votes: Iterable[Vote]) -> dict[str, float]:
    """Emotion -> share of the weight, summing to 1: the soft target. Empty without votes."""
    weights = weights_of(votes)
    total = sum(weights.values())
    return {emotion: weight / total for emotion, weight in weights.items()}


def majority(votes: Iterable[Vote]) -> str | None:
    """The emotion with most weight (a plurality suffices); None: no votes, or a tie for the first place."""
    return heaviest(weights_of(votes))


def heaviest(weights: Mapping[str, float]) -> str | None:
    """The emotion of most weight; None: there is none, or several share the first place."""
    ranked = sorted(weights.items(), key=lambda item: (-item[1], item[0]))
    if not ranked or (len(ranked) > 1 and ranked[0][1] - ranked[1][1] < _EQUAL):
        return None
    return ranked[0][0]


def mean_valence(votes: Iterable[Vote]) -> float | None:
    """Mean of the valences that were judged; None: none was."""
    judged = [vote.valence for vote in votes if vote.valence is not None]
    return sum(judged) / len(judged) if judged else None
