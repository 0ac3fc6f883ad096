"""Target priors over arriving batches, at the cost of the new batch alone.

Of the batches before, the log-likelihood's expansion to second order is kept (C + C * C numbers, see `likelihood`),
multiplied by a forgetting factor; the new batch counts in full. Reconstruction: online EM (Cappe and Moulines 2009) keeps
expected class counts, which go stale as the estimate moves; the expansion corrects them to first order. The mean
prediction, which is all that BBSE needs, is kept beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError
from mer.label_shift.likelihood import prior_ratios

Floats = NDArray[np.float64]
_STEPS = 500


@dataclass(frozen=True)
class TrackedPriors:
    """The state after some batches; plain numbers, kept as JSON."""

    training: Floats
    """(C,) priors that the posteriors are calibrated under."""
    prior: Floats
    """(C,) target priors so far."""
    clips: float
    """Clips that still count: each batch by the forgetting factor to the power of its age."""
    gradient: Floats
    """(C,) of the log-likelihood of what came before, at `prior`."""
    information: Floats
    """(C, C) its negative second derivative there."""
    mean_prediction: Floats
    """(C,) mean posterior, weighted alike: what BBSE solves for."""
    batches: int = 0

    @classmethod
    def start(cls, training: Floats) -> TrackedPriors:
        """Before any batch: the training priors, of no weight."""
        classes = len(training)
        zeros = np.zeros(classes)
        return cls(np.array(training), np.array(training), 0.0, zeros, np.zeros((classes, classes)), zeros)

    def update(
        self, log_posteriors: Floats, forgetting: float = 1.0, tolerance: float = 1e-8
    ) -> TrackedPriors:
        """The state after a batch.

        Args:
            log_posteriors: (N, C) calibrated log-posteriors of the new clips.
            forgetting: what the earlier batches' weight is multiplied by, in (0, 1]; 1 forgets nothing, .9 remembers about ten
                batches.
            tolerance: largest change of a prior by a step at the end.

        Raises:
            ConfigError: a forgetting factor outside (0, 1].
        """
        if not 0 < forgetting <= 1:
            raise ConfigError(f"forgetting factor: expected above 0 and at most 1, found {forgetting}")
        if len(log_posteriors) == 0:
            return self
        ratios = prior_ratios(log_posteriors, self.training)
        columns = np.ascontiguousarray(ratios.T)
        old, memory = forgetting * self.gradient, forgetting * self.information
        weight = forgetting * self.clips
        q = np.maximum(self.prior, 1e-9)  # a class that had none so far may come
        for _ in range(_STEPS):
            known = _remembered(old, memory, q - self.prior, q, weight)
            moved = q * (known + columns @ (1.0 / (ratios @ q)))
            moved /= moved.sum()
            change = float(np.abs(moved - q).max())
            q = moved
            if change < tolerance:
                break
        known = _remembered(old, memory, q - self.prior, q, weight)
        slopes = ratios / (ratios @ q)[:, None]
        total = weight + len(ratios)
        return TrackedPriors(
            training=self.training,
            prior=q,
            clips=total,
            gradient=known + slopes.sum(axis=0),
            information=_balanced(memory, known, q) + slopes.T @ slopes,
            mean_prediction=(weight * self.mean_prediction + np.exp(log_posteriors).sum(axis=0)) / total,
            batches=self.batches + 1,
        )

    def standard_errors(self) -> Floats:
        """(C,) of the priors, from the information, without that of the calibration; NaN before any batch."""
        if self.clips == 0:
            return np.full(len(self.prior), np.nan)
        # q sums to 1, so only directions along the simplex are uncertain
        along = np.linalg.svd(np.ones((1, len(self.prior))))[2][1:].T
        covariance = along @ np.linalg.pinv(along.T @ self.information @ along) @ along.T
        return np.asarray(np.sqrt(np.diag(covariance)))

    def to_json(self) -> dict[str, Any]:
        """The state as JSON values."""
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in vars(self).items()
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TrackedPriors:
        """The state that `to_json` gave, number for number."""
        arrays: dict[str, Any] = {
            name: np.array(value) if isinstance(value, list) else value for name, value in values.items()
        }
        return cls(**arrays)


def _remembered(gradient: Floats, information: Floats, away: Floats, q: Floats, clips: float) -> Floats:
    """(C,) gradient of the earlier batches at `q`: expanded, but never negative, and of no more weight than their clips.

    Of the likelihood itself both hold anywhere (`q . gradient = clips`); of the expansion only nearby, and not for a class that
    was absent and has come.
    """
    if clips == 0:
        return np.zeros_like(q)
    expanded = np.maximum(gradient - information @ away, 0.0)
    held = float(q @ expanded)
    return np.asarray(expanded * (clips / held) if held > 0 else np.full_like(q, clips))


def _balanced(information: Floats, gradient: Floats, q: Floats, rounds: int = 30) -> Floats:
    """(C, C) information carried to `q`, scaled by class until `information @ q = gradient`, as it is of the likelihood."""
    scale = np.ones_like(q)
    for _ in range(rounds):
        reached = scale * (information @ (scale * q))
        # geometric mean of the old and the exact scale: the exact one alone may alternate between two
        scale = np.sqrt(scale**2 * gradient / np.maximum(reached, 1e-300))
    return np.asarray(scale[:, None] * information * scale)
