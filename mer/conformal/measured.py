"""How prediction sets and abstention fare on speakers that neither the model nor the thresholds saw: fold by fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.conformal.quantiles import speaker_weights
from mer.conformal.record import conformal_record, risk_curve
from mer.conformal.scores import SCORES, ScoreName
from mer.errors import ConfigError
from mer.evaluation.calibration import cross_fitted_probabilities, fit_temperature
from mer.evaluation.intervals import RESAMPLING, resample_weights, resampling_groups

Floats = NDArray[np.float64]
MEASURED_COVERAGES = (0.8, 0.9, 0.95)
MEASURED_RISKS = (0.05, 0.1, 0.2)
MEASURED_SHARES = (0.5, 0.7, 0.9)
CHOSEN_AT = 0.9
"""Coverage at which the scores' sets are compared."""
_CURVE = 10
"""Every so many points of the risk-coverage curve are told."""


def measured_answers(
    logits: NDArray[np.floating[Any]],
    truth: NDArray[np.int64],
    folds: NDArray[np.int64],
    speakers: Sequence[str | None],
) -> dict[str, Any]:
    """Coverage and size of sets, risk and share of answers; each fold's temperature and thresholds are those of the other folds.

    Args:
        logits: (N, C) out-of-fold.
        truth: (N,) class index, no -1.
        folds: (N,) of every clip.
        speakers: (N,) None: unknown.

    Returns:
        JSON values: `score` (the one with the smallest sets at 90 %), `sets` (a row for each score and coverage: coverage
        with its 95 % interval over speakers, mean size, share of single classes, least coverage of a class), `risks` (a row
        for each risk that was asked for: risk met, share answered; share 0 where it is not reached), `accuracy_at` (share
        answered -> accuracy), `curve` (share answered, risk) and its `area` (mean risk over the shares). Empty where there
        is one fold.
    """
    if len(np.unique(folds)) < 2:
        return {}
    probabilities = cross_fitted_probabilities(logits, truth, folds)
    sets: dict[tuple[ScoreName, float], NDArray[np.bool_]] = {
        (name, coverage): np.zeros(probabilities.shape, bool)
        for name in SCORES
        for coverage in MEASURED_COVERAGES
    }
    answered: dict[float, NDArray[np.bool_] | None] = {
        risk: np.zeros(len(truth), bool) for risk in MEASURED_RISKS
    }
    for fold in np.unique(folds):
        inside, outside = folds == fold, folds != fold
        record = conformal_record(
            _calibrated(logits[outside], truth[outside]),
            truth[outside],
            [one for one, is_outside in zip(speakers, outside, strict=True) if is_outside],
            "lac",
        )
        for name, coverage in sets:
            sets[name, coverage][inside] = record.sets(probabilities[inside], coverage, name)
        for risk, held in answered.items():
            try:
                least = record.least_confidence(risk)
            except ConfigError:
                answered[risk] = None
                continue
            if held is not None:
                held[inside] = probabilities[inside].max(axis=1) >= least
    groups = resampling_groups(speakers, len(truth))
    rows = [
        {"score": name, "asked": coverage, **_set_figures(held, truth, groups)}
        for (name, coverage), held in sets.items()
    ]
    smallest = min(
        (row for row in rows if row["asked"] == CHOSEN_AT), key=lambda row: (row["size"], row["score"])
    )
    wrong = probabilities.argmax(axis=1) != truth
    return {
        "score": smallest["score"],
        "sets": rows,
        "risks": [
            {"asked": risk, **(_risk_figures(held, wrong, groups) if held is not None else {"share": 0.0})}
            for risk, held in answered.items()
        ],
        **_curve_figures(probabilities, truth, speakers),
    }


def _calibrated(logits: NDArray[np.floating[Any]], truth: NDArray[np.int64]) -> Floats:
    scaled = logits.astype(np.float64) / fit_temperature(logits, truth)
    weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    shares: Floats = weights / weights.sum(axis=1, keepdims=True)
    return shares


def _set_figures(
    held: NDArray[np.bool_], truth: NDArray[np.int64], groups: NDArray[np.int64]
) -> Mapping[str, float]:
    covered, sizes = held[np.arange(len(truth)), truth], held.sum(axis=1)
    low, high = _interval(covered, groups)
    return {
        "coverage": float(covered.mean()),
        "coverage_low": low,
        "coverage_high": high,
        "size": float(sizes.mean()),
        "single": float((sizes == 1).mean()),
        "least_class": min(float(covered[truth == label].mean()) for label in np.unique(truth)),
    }


def _risk_figures(
    held: NDArray[np.bool_], wrong: NDArray[np.bool_], groups: NDArray[np.int64]
) -> Mapping[str, float]:
    if not held.any():
        return {"share": 0.0}
    low, high = _interval(wrong[held], np.unique(groups[held], return_inverse=True)[1])
    return {
        "share": float(held.mean()),
        "risk": float(wrong[held].mean()),
        "risk_low": low,
        "risk_high": high,
    }


def _curve_figures(
    probabilities: Floats, truth: NDArray[np.int64], speakers: Sequence[str | None]
) -> dict[str, Any]:
    _, risks = risk_curve(probabilities, truth, speaker_weights(speakers))
    shares = np.arange(1, len(risks) + 1) / len(risks)
    return {
        "accuracy_at": {
            f"{share:g}": 1 - float(risks[round(share * len(risks)) - 1]) for share in MEASURED_SHARES
        },
        "curve": [
            {"share": float(share), "risk": float(risk)}
            for share, risk in zip(shares[_CURVE - 1 :: _CURVE], risks[_CURVE - 1 :: _CURVE], strict=True)
        ],
        "area": float(risks.mean()),
    }


def _interval(values: NDArray[np.bool_], groups: NDArray[np.int64]) -> tuple[float, float]:
    """95 % of the mean over resamples of whole speakers."""
    held = np.bincount(groups, weights=values.astype(np.float64))
    counts = np.bincount(groups).astype(np.float64)
    drawn = resample_weights(len(counts), RESAMPLING.resamples, RESAMPLING.seed)
    means = (drawn @ held) / (drawn @ counts)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
