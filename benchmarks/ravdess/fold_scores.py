"""Scores of several systems that predicted the same outer folds, with speaker intervals and paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Protocol

import numpy as np

from benchmarks.command import Figure

if TYPE_CHECKING:
    from mer.examples import Examples
    from mer.posteriors import Posteriors


class PredictedFold(Protocol):
    """One outer fold's predictions of its own clips, made without a look at their labels."""

    @property
    def fold(self) -> int:
        """Number of the fold."""
        ...

    @property
    def predictions(self) -> Mapping[str, Posteriors]:
        """By system."""
        ...


def scores(
    examples: Examples, classes: int, outcomes: Sequence[PredictedFold], references: Mapping[str, str]
) -> dict[str, dict[str, Figure]]:
    """Figures by system, of those that predicted every one of these folds; this reads the test labels.

    Args:
        examples: all clips with their labels.
        classes: number of classes.
        outcomes: the folds predicted.
        references: system -> the one it is compared with, paired.
    """
    from mer.evaluation.intervals import bootstrap_interval, paired_differences, widened
    from mer.evaluation.metrics import accuracy, confusion, macro_f1, waf
    from mer.posteriors import Posteriors

    own = examples.subset(np.flatnonzero(np.isin(examples.fold, [one.fold for one in outcomes])))
    everywhere = [n for n in outcomes[0].predictions if all(n in one.predictions for one in outcomes)]
    pooled = {
        name: Posteriors.joined([one.predictions[name] for one in outcomes])
        .restricted(own.clip_ids)
        .predicted
        for name in everywhere
    }
    truth, figures = own.emotion, dict[str, dict[str, Figure]]()
    for name, predicted in pooled.items():
        counts = confusion(truth, predicted, classes)
        interval = bootstrap_interval(truth, predicted, own.speaker, classes, score=accuracy)
        folds = [float((truth == predicted)[own.fold == one.fold].mean()) for one in outcomes]
        figures[name] = {
            "accuracy_mean": fmean(folds),
            "accuracy_folds": folds,
            "accuracy": interval.point,
            "waf": float(waf(counts)),
            "macro_f1": float(macro_f1(counts)),
            "interval_low": interval.low,
            "interval_high": interval.high,
        }
        reference = references.get(name)
        if reference in pooled:
            paired = paired_differences(
                truth, predicted, pooled[reference], own.speaker, classes, score=accuracy
            )
            low, high = np.quantile(widened(paired.samples, paired.groups), [0.025, 0.975])
            figures[name] |= {
                "difference": paired.point,
                "difference_low": float(low),
                "difference_high": float(high),
            }
    return figures


def number(figure: Figure) -> float:
    """A figure that is one number."""
    assert isinstance(figure, float | int), figure
    return float(figure)
