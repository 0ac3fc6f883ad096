"""Two models on the same clips: differences of scores, with intervals by the paired bootstrap over speakers and paired tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mer.errors import ConfigError
from mer.evaluation.intervals import Resampling, Score, paired_differences, resampled_units
from mer.evaluation.metrics import accuracy, macro_f1, unweighted_recall, waf
from mer.evaluation.paired_test import paired_randomisation
from mer.posteriors import Posteriors

SCORES: Mapping[str, Score] = {
    "WAF": waf,
    "accuracy": accuracy,
    "macro-F1": macro_f1,
    "mean recall": unweighted_recall,
}
CONFIDENCE = 0.95


@dataclass(frozen=True)
class ComparedScore:
    """One score of two models."""

    name: str
    first: float
    second: float
    difference: float
    """`first` - `second`."""
    low: float
    high: float
    """Ends of the two-sided 95 % interval of the difference."""
    p_value: float = 1.0
    """Of the paired randomisation test of this score alone (`mer.evaluation.paired_test`)."""


@dataclass(frozen=True)
class Comparison:
    """Two models on the clips that both were scored on."""

    clips: int
    groups: int
    """Speakers (or clips, where speakers are unknown) that were resampled."""
    scores: tuple[ComparedScore, ...]
    resampled: str = "speakers or clips"
    """What the groups are."""


def compare(
    first: Posteriors,
    second: Posteriors,
    truth: Mapping[str, int],
    speakers: Mapping[str, str | None],
    classes: int,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare two models on the clips that both predicted and that have a label.

    Each resample draws the same speakers for both, so what makes clips hard for both cancels. The interval is the
    difference -+ t times its standard error, as at the gate (`mer.evaluation.gate`). The p-values are of one score each: a family
    of several comparisons is corrected by whoever makes it.

    Args:
        first: predictions for clips that the first model was not trained on.
        second: the same of the second model.
        truth: clip id -> class index, labelled clips only.
        speakers: clip id -> speaker or None.
        classes: number of classes.
        resamples: number of resamples.
        seed: seed of the resampling.

    Raises:
        ConfigError: fewer than two such clips.
    """
    common = sorted(set(first.clip_ids) & set(second.clip_ids) & set(truth))
    if len(common) < 2:
        raise ConfigError(
            f"comparison: expected labelled clips that both models were scored on, found {len(common)}; models of different "
            "corpora have none in common, compare versions of one model (--version N --against M)"
        )
    right = np.array([truth[clip_id] for clip_id in common], dtype=np.int64)
    who = [speakers.get(clip_id) for clip_id in common]
    first_predicted, second_predicted = (model.restricted(common).predicted for model in (first, second))
    groups = 0
    rows = []
    for name, score in SCORES.items():
        difference = paired_differences(
            right,
            first_predicted,
            second_predicted,
            who,
            classes,
            score=score,
            resampling=Resampling(resamples, seed),
        )
        low, high = difference.interval(CONFIDENCE)
        groups = difference.groups
        test = paired_randomisation(
            right, first_predicted, second_predicted, who, classes, score=score, seed=seed
        )
        rows.append(
            ComparedScore(
                name, difference.first, difference.second, difference.point, low, high, test.p_value
            )
        )
    return Comparison(len(common), groups, tuple(rows), resampled_units(who))


def labelled(
    clip_ids: Sequence[str], emotion: Sequence[str | None], emotions: Sequence[str]
) -> dict[str, int]:
    """Clip id -> class index of those whose label is one of `emotions`."""
    index: Mapping[str | None, int] = {name: position for position, name in enumerate(emotions)}
    return {clip_id: index[name] for clip_id, name in zip(clip_ids, emotion, strict=True) if name in index}
