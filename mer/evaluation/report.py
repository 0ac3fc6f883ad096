"""The evaluation of a training run: every system out of fold, the served one calibrated and on the holdout,
with figures.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.evaluation.calibration import (
    cross_fitted_probabilities,
    expected_calibration_error,
    fit_temperature,
    reliability_bins,
)
from mer.evaluation.figures import confusion_figure, reliability_figure
from mer.evaluation.intervals import bootstrap_interval, paired_differences, resampled_units
from mer.evaluation.metrics import (
    accuracy,
    combined_score,
    confusion,
    macro_f1,
    per_class_recall,
    valence_mse,
    waf,
)
from mer.examples import Examples
from mer.posteriors import Posteriors

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class EvaluationReport:
    """Scores, calibration and figures of a training run."""

    served: str
    systems: tuple[dict[str, Any], ...]
    """One row of scores per system, out of fold."""
    differences: tuple[dict[str, Any], ...]
    """The served system minus others, with 95 % intervals of the paired differences."""
    holdout: dict[str, Any] | None
    """The served system on the fixed holdout of true labels; None where there is none."""
    holdout_parts: dict[str, dict[str, Any]]
    """The same for every named part of the holdout (a challenge's test1, test2, ...); empty where the corpus names none."""
    calibration: dict[str, float]
    """Expected calibration error before and after, the latter with temperatures that are fitted on the other folds."""
    temperature: float
    chance: float
    """Accuracy of always naming the most frequent class."""
    headline: dict[str, float]
    """The served system's figures, flat."""
    figures: dict[str, bytes]
    """PNG images by file name."""

    def to_json(self) -> dict[str, Any]:
        """Everything but the figures, as JSON values."""
        return {
            "served": self.served,
            "systems": list(self.systems),
            "differences": list(self.differences),
            "holdout": self.holdout,
            "holdout_parts": self.holdout_parts,
            "calibration": self.calibration,
            "temperature": self.temperature,
            "chance": self.chance,
            "headline": self.headline,
        }


def evaluate_systems(
    examples: Examples,
    out_of_fold: Mapping[str, Posteriors],
    holdout: Posteriors,
    emotions: Sequence[str],
    *,
    served: str,
    parts: Mapping[str, Collection[str]] | None = None,
    against: Collection[str] = (),
) -> EvaluationReport:
    """Score systems on the clips they did not train on.

    Args:
        examples: all clips with their true labels.
        out_of_fold: system name -> posteriors of the cross-validation clips, each by a model that did not
            see it.
        holdout: posteriors of the served system on the fixed holdout (may be empty).
        emotions: class names in index order.
        served: the system that will be served; it is calibrated on its out-of-fold logits.
        parts: named parts of the holdout, each with its clips; what no prediction is of is passed over.
        against: systems that the served one is held against; those that are not among `out_of_fold` are passed over.
    """
    rows = tuple(
        {
            "system": name,
            **_scores(examples, posteriors, emotions),
            "accuracy_folds": _by_fold(examples, posteriors),
        }
        for name, posteriors in out_of_fold.items()
    )
    served_posteriors, truth = out_of_fold[served], _truth(examples, out_of_fold[served])
    temperature = fit_temperature(served_posteriors.logits, truth)
    folds = examples.fold[_rows(examples, served_posteriors)]
    calibrated = cross_fitted_probabilities(served_posteriors.logits, truth, folds)
    calibration = {
        "ece_before": expected_calibration_error(served_posteriors.probabilities(), truth),
        "ece_after": expected_calibration_error(calibrated, truth),
        "temperature": temperature,
    }
    held = _scores(examples, holdout, emotions) if len(holdout) else None
    held_parts = {
        part: _scores(examples, holdout.restricted(names), emotions)
        for part, clips in (parts or {}).items()
        if (names := sorted(frozenset(clips) & frozenset(holdout.clip_ids)))
    }
    counts = confusion(truth, served_posteriors.predicted, len(emotions))
    figures = {
        "confusion_matrix.png": confusion_figure(counts, emotions),
        "reliability.png": reliability_figure(reliability_bins(calibrated, truth)),
    }
    row = next(row for row in rows if row["system"] == served)
    headline = _figures(row, "") | _figures(held or {}, "holdout_")
    for part, scores in held_parts.items():
        headline |= _figures(scores, f"holdout.{part}.")
    others = [name for name in out_of_fold if name in against and name != served]
    return EvaluationReport(
        served=served,
        systems=rows,
        differences=tuple(
            difference_of(examples, (served, out_of_fold[served]), (name, out_of_fold[name]), len(emotions))
            for name in others
        ),
        holdout=held,
        holdout_parts=held_parts,
        calibration=calibration,
        temperature=temperature,
        chance=float(counts.sum(axis=1).max() / counts.sum()),
        headline=headline,
        figures=figures,
    )


def difference_of(
    examples: Examples, served: tuple[str, Posteriors], other: tuple[str, Posteriors], classes: int
) -> dict[str, Any]:
    """The served system minus another on the same clips: accuracy and weighted F1 with the ends of their 95 % intervals."""
    (name, first), (minus, second) = served, other
    rows = _rows(examples, first)
    again = second.restricted(first.clip_ids)
    speakers = [examples.speaker[row] for row in rows]
    said: dict[str, Any] = {"system": name, "minus": minus, "clips": len(rows)}
    for label, score in (("accuracy", accuracy), ("waf", waf)):
        paired = paired_differences(
            examples.emotion[rows], first.predicted, again.predicted, speakers, classes, score=score
        )
        low, high = paired.interval(_CONFIDENCE)
        said |= {label: paired.point, f"{label}_low": low, f"{label}_high": high}
    return said


def _figures(scores: Mapping[str, Any], prefix: str) -> dict[str, float]:
    """The finite numbers among scores, by their names after a prefix."""
    return {
        f"{prefix}{name}": value
        for name, value in scores.items()
        if isinstance(value, float) and math.isfinite(value)
    }


def _scores(examples: Examples, posteriors: Posteriors, emotions: Sequence[str]) -> dict[str, Any]:
    rows = _rows(examples, posteriors)
    truth, predicted = examples.emotion[rows], posteriors.predicted
    counts = confusion(truth, predicted, len(emotions))
    speakers = [examples.speaker[row] for row in rows]
    interval = bootstrap_interval(truth, predicted, speakers, len(emotions))
    around = bootstrap_interval(truth, predicted, speakers, len(emotions), score=accuracy)
    error = valence_mse(examples.valence[rows], posteriors.valence)
    known = math.isfinite(error)
    return {
        "clips": len(rows),
        "accuracy": float(accuracy(counts)),
        "accuracy_low": around.low,
        "accuracy_high": around.high,
        "waf": interval.point,
        "waf_low": interval.low,
        "waf_high": interval.high,
        "macro_f1": float(macro_f1(counts)),
        "recall": {
            name: float(value) if clips else None  # of a class that no clip has there is none
            for name, value, clips in zip(
                emotions, per_class_recall(counts), counts.sum(axis=-1).tolist(), strict=True
            )
        },
        # JSON has no NaN: a corpus without valence has no such figures
        "valence_mse": error if known else None,
        "combined_score": combined_score(interval.point, error) if known else None,
        "speakers": len(set(speakers) - {None}),
        "speakers_or_clips": interval.groups,
        "resampled": resampled_units(speakers),
    }


def _by_fold(examples: Examples, posteriors: Posteriors) -> list[float]:
    rows = _rows(examples, posteriors)
    right = posteriors.predicted == examples.emotion[rows]
    folds = examples.fold[rows]
    return [float(right[folds == fold].mean()) for fold in np.unique(folds)]


def _rows(examples: Examples, posteriors: Posteriors) -> NDArray[np.int64]:
    position = {clip_id: row for row, clip_id in enumerate(examples.clip_ids)}
    return np.array([position[clip_id] for clip_id in posteriors.clip_ids], dtype=np.int64)


def _truth(examples: Examples, posteriors: Posteriors) -> NDArray[np.int64]:
    return np.asarray(examples.emotion[_rows(examples, posteriors)])
