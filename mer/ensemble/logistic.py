"""Multinomial logistic regression on hard or soft targets (scikit-learn), fast where there are more features than clips.

A soft target is the clip once for every class, weighted by the class's share. With more features than clips the weights lie in
the span of the clips (representer theorem), so the fit is made in coordinates of that span, one a clip, and turned back: the same
solution, at the cost of a square problem.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

HIDDEN = -30.0
"""Logit of a class that no training clip has, and the least there is."""
_LEAST_SHARE = 1e-3
"""Shares of a soft target below this are left out."""
_JITTER = 1e-5
"""Relative to the mean squared norm of a clip: equal clips span less than there are of them."""


@dataclass(frozen=True)
class Logistic:
    """Weights of a fitted regression."""

    coef: NDArray[np.float64]
    """(D, C)"""
    intercept: NDArray[np.float64]
    """(C,) `HIDDEN` for a class that was not learnt."""

    def scores(self, features: Floats) -> NDArray[np.float64]:
        """(N, C) log-probabilities of (N, D) features, none below `HIDDEN`."""
        logits = features @ self.coef.astype(features.dtype) + self.intercept
        logits = logits - logits.max(axis=1, keepdims=True)
        return np.asarray(np.maximum(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), HIDDEN))


@dataclass(frozen=True)
class Span:
    """Clips in coordinates of what they span: fits on these, with any of the clips, are those on the features."""

    coordinates: Floats
    """(N, min(N, D)), of the features' type."""
    features: Floats
    """(N, D)"""
    lower: Floats | None
    """(N, N) Cholesky factor of the clips' products; none: the coordinates are the features."""

    def in_features(self, fitted: Logistic) -> Logistic:
        """A regression on coordinates as one on features."""
        return Logistic(self.back(fitted.coef), fitted.intercept)

    def back(self, coef: Floats) -> NDArray[np.float64]:
        """(D, C) weights of features from (N, C) ones of coordinates."""
        from scipy.linalg import solve_triangular

        if self.lower is None:
            return np.asarray(coef, np.float64)
        dual = solve_triangular(self.lower, coef, lower=True, trans="T", check_finite=False)
        return np.asarray(self.features.T @ dual.astype(self.features.dtype), np.float64)


def span_of(features: Floats) -> Span:
    """Coordinates of (N, D) clips in their span; the features themselves where they are no more than the clips."""
    count, width = features.shape
    if width <= count:
        return Span(features, features, None)
    gram = (features @ features.T).astype(np.float64)
    gram[np.arange(count), np.arange(count)] += _JITTER * max(float(np.trace(gram)) / count, _JITTER)
    lower = np.linalg.cholesky(gram)
    # fits read them hundreds of times: half the bytes are five times as fast, and move log-probabilities by about 1e-4
    return Span(lower.astype(features.dtype), features, lower)


def fit_logistic(
    features: Floats, target: Floats, weight: Floats, inverse_penalty: float, iterations: int = 1000
) -> Logistic:
    """Fit on (N, D) features.

    Args:
        features: (N, D).
        target: (N, C) distributions over classes.
        weight: (N,) positive.
        inverse_penalty: `C` of scikit-learn.
        iterations: most steps of the solver.
    """
    span = span_of(features)
    return span.in_features(fit_path(span.coordinates, target, weight, [inverse_penalty], iterations)[0])


def fit_path(
    features: Floats,
    target: Floats,
    weight: Floats,
    inverse_penalties: Sequence[float],
    iterations: int = 1000,
) -> list[Logistic]:
    """Fits for ascending inverse penalties, each started at the one before; arguments as of `fit_logistic`."""
    from sklearn.linear_model import LogisticRegression

    rows, labels = np.nonzero(target >= _LEAST_SHARE)
    share = target[rows, labels].astype(np.float64) * weight[rows]
    repeated = features if len(rows) == len(features) else features[rows]
    if len(classes := np.unique(labels)) == 1:  # nothing to divide: all is of that class
        constant = np.where(np.arange(target.shape[1]) == classes[0], 0.0, HIDDEN)
        return [Logistic(np.zeros((features.shape[1], target.shape[1])), constant) for _ in inverse_penalties]
    model = LogisticRegression(max_iter=iterations, warm_start=True)
    fitted = []
    for value in inverse_penalties:
        model.set_params(C=value)
        model.fit(repeated, labels, sample_weight=share)
        coef, intercept = model.coef_.T.astype(np.float64), np.asarray(model.intercept_, np.float64)
        if len(model.classes_) == 2:  # scikit-learn keeps one column: the second class against the first
            coef, intercept = np.hstack([-coef / 2, coef / 2]), np.array([-0.5, 0.5]) * intercept
        whole = np.zeros((features.shape[1], target.shape[1]))
        whole[:, model.classes_] = coef
        constant = np.full(target.shape[1], HIDDEN)
        constant[model.classes_] = intercept - intercept.mean()
        fitted.append(Logistic(whole, constant))
    return fitted
