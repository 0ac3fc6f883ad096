"""How much a leak flatters: a cheap baseline by the protocol, and without the training clips that are related to test clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.audit.parts import Part
from mer.evaluation.intervals import paired_differences
from mer.evaluation.metrics import accuracy

LEAST_LEFT = 0.2
"""Share of a part's training clips that must be left for a comparison."""


@dataclass(frozen=True)
class Inflation:
    """Accuracy of the baseline with and without what leaks, on the same test clips."""

    clips: int
    accuracy: float
    """By the protocol as it is."""
    without: float
    """Learnt without the related clips."""
    gain: float
    low: float
    high: float
    """95 % of the difference, speakers resampled."""
    removed: float
    """Share of training clips that were left out, in the mean over parts."""


def inflation(
    features: NDArray[np.floating],
    emotions: Sequence[str],
    speakers: Sequence[str],
    parts: Sequence[Part],
    relations: Sequence[NDArray[np.int64]],
) -> Inflation | None:
    """Compare logistic regressions with and without leaks.

    Args:
        features: (N, D) of the clips.
        emotions: (N,) empty: unlabelled.
        speakers: (N,) empty: unknown; they are resampled.
        parts: of the protocol.
        relations: each (N,) codes: clips of equal code (not -1) are related.

    Returns:
        None where nothing leaks, or too little would be left to learn from.
    """
    labels = np.array(emotions, dtype=np.str_)
    classes, truth = np.unique(labels, return_inverse=True)
    labelled = labels != ""
    given, cleaned, rows, removed = [], [], [], []
    for part in parts:
        train, test = part.train & labelled, part.test & labelled
        leaking = np.zeros(len(labels), dtype=np.bool_)
        for codes in relations:
            leaking |= (codes >= 0) & np.isin(codes, np.unique(codes[test & (codes >= 0)]))
        kept = train & ~leaking
        too_few = kept.sum() < LEAST_LEFT * train.sum() or len(np.unique(truth[kept])) < 2
        if not test.any() or not (train & leaking).any() or too_few:
            continue
        given.append(_answers(features, truth, train, test))
        cleaned.append(_answers(features, truth, kept, test))
        rows.append(np.flatnonzero(test))
        removed.append(float((train & leaking).sum() / train.sum()))
    if not rows:
        return None
    at = np.concatenate(rows)
    first, second = np.concatenate(given), np.concatenate(cleaned)
    paired = paired_differences(
        truth[at].astype(np.int64),
        first,
        second,
        [speakers[row] or None for row in at],
        len(classes),
        score=accuracy,
    )
    low, high = paired.interval(0.95)
    right, without = float((first == truth[at]).mean()), float((second == truth[at]).mean())
    return Inflation(len(at), right, without, right - without, low, high, float(np.mean(removed)))


def _answers(
    features: NDArray[np.floating],
    truth: NDArray[np.int64],
    train: NDArray[np.bool_],
    test: NDArray[np.bool_],
) -> NDArray[np.int64]:
    from sklearn.linear_model import LogisticRegression

    mean, spread = features[train].mean(axis=0), features[train].std(axis=0) + 1e-6
    scaled = (features - mean) / spread
    model = LogisticRegression(C=0.1, max_iter=500).fit(scaled[train], truth[train])
    return np.asarray(model.predict(scaled[test]), np.int64)
