"""A linear probe: what a plain classifier reads out of vectors, trained on some speakers and scored on others."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
"""Inverse regularisation of the logistic regression; chosen on validation speakers."""
DEFAULT_STRENGTH = 0.03
"""Used when no labelled validation clips exist to choose the strength by."""


def probed(
    values: NDArray[np.floating[Any]],
    emotion: NDArray[np.int64],
    train: NDArray[np.int64],
    validation: NDArray[np.int64],
    scored: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Classes of the scored clips by a logistic regression on standardised vectors.

    The alignment has learnt the training clips' anchors by heart to some degree and the validation clips' not,
    so the regularisation is chosen on validation clips; the probe is then trained on both.

    Args:
        values: (clips, features). emotion: (clips,) class. train, validation, scored: rows, all labelled.
    """
    strength = DEFAULT_STRENGTH
    if len(validation):
        right = [
            float(
                (
                    _fitted(values, emotion, train, candidate).predict(values[validation])
                    == emotion[validation]
                ).mean()
            )
            for candidate in STRENGTHS
        ]
        strength = STRENGTHS[int(np.argmax(right))]
    known = np.concatenate([train, validation])
    predicted: NDArray[np.int64] = _fitted(values, emotion, known, strength).predict(values[scored])
    return predicted


def _fitted(
    values: NDArray[np.floating[Any]], emotion: NDArray[np.int64], rows: NDArray[np.int64], strength: float
) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=5000))
    return probe.fit(values[rows], emotion[rows])
