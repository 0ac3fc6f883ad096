"""Fitted machines over standardised streams: kernel ridge machines and logistic regressions, each with a machine of valence.

A kernel machine answers by its likeness to the clips that were learnt from:

    k(x, y) = exp(-width / 2 * sum_s weight_s d_s(x, y)),   d_s: mean squared difference of the standardised features

of the hidden states that it reads, so that a stream counts by its weight, however many features it has. Known: least-squares
support vector machines (Suykens and Vandewalle 1999).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.ensemble.distance import mean_squared_differences, mean_squares
from mer.ensemble.logistic import Logistic
from mer.ensemble.ridge import BIAS

Floats = NDArray[np.float32]

SHARPNESS = 10.0
"""Scores of a kernel machine lie between 0 and 1 or so; times this they are of the size of logits."""


@dataclass(frozen=True)
class Reading:
    """What a machine reads of one stream."""

    first: int
    """First hidden state."""
    last: int
    """Last one, itself read."""
    weight: float
    """Of the stream: in the squared distance; of a logistic regression the factor of its features."""

    @property
    def states(self) -> range:
        """The hidden states."""
        return range(self.first, self.last + 1)


Readings = Mapping[str, Reading]
"""Stream -> what is read of it."""


@dataclass(frozen=True)
class KernelMachine:
    """Dual coefficients over the clips that were learnt from, one variant of all clips after the other."""

    readings: Readings
    width: float
    varied: bool
    """Whether it learnt from all variants of a clip; otherwise from the clip as it is."""
    dual: Floats
    """(V * T, C) of the classes."""
    valence: Floats
    """(V * T,) of valence less its mean."""
    valence_mean: float
    """NaN: no valence was learnt."""

    def __post_init__(self) -> None:
        # one memory layout, so that what was saved and loaded answers bit for bit as before
        object.__setattr__(self, "dual", np.ascontiguousarray(self.dual, np.float32))

    def scores(self, exponent: Floats) -> tuple[Floats, Floats]:
        """(R, C) class scores and (R,) valence, from (R, V * T) weighted squared distances to the clips that were learnt from."""
        kernel = kernel_of(exponent, self.width)
        classes = kernel @ self.dual + np.float32(BIAS) * self.dual.sum(axis=0) + 1 / self.dual.shape[1]
        valence = kernel @ self.valence + np.float32(BIAS) * self.valence.sum() + self.valence_mean
        return np.asarray(SHARPNESS * classes, np.float32), np.asarray(valence, np.float32)


@dataclass(frozen=True)
class LogisticMachine:
    """Weights over the features of the streams side by side, in the order of `readings`."""

    readings: Readings
    varied: bool
    classes: Logistic
    """Of (sum of S * D) features."""
    valence: NDArray[np.float64]
    """(sum of S * D,) ridge weights of valence."""
    valence_mean: float
    """Constant of valence; NaN: no valence was learnt."""

    def __post_init__(self) -> None:
        coef = np.ascontiguousarray(self.classes.coef, np.float64)  # as in a kernel machine
        object.__setattr__(self, "classes", Logistic(coef, self.classes.intercept))

    def scores(self, features: Floats) -> tuple[Floats, Floats]:
        """(R, C) log-probabilities and (R,) valence of (R, sum of S * D) features."""
        valence = features @ self.valence.astype(np.float32) + np.float32(self.valence_mean)
        return self.classes.scores(features).astype(np.float32), np.asarray(valence, np.float32)


Machine = KernelMachine | LogisticMachine


def kernel_of(exponent: Floats, width: float) -> Floats:
    """Gaussian kernel of weighted squared distances."""
    return np.asarray(np.exp(exponent.dtype.type(-width / 2) * exponent))


class LearntStates:
    """Standardised features of the clips that were learnt from, by stream and hidden state; what each row weighs is kept.

    Args:
        features: stream -> (W, T, S, D). Where all rows of a state lie together in memory nothing of them is copied.
    """

    def __init__(self, features: Mapping[str, Floats]) -> None:
        self.features = features
        self._squares: dict[tuple[str, int], Floats] = {}

    def rows(self, name: str, state: int) -> tuple[Floats, Floats]:
        """(W * T, D) rows of one hidden state, and their (W * T,) mean squares."""
        rows = _state_rows(self.features[name], state)
        if (name, state) not in self._squares:
            self._squares[name, state] = mean_squares(rows)
        return rows, self._squares[name, state]


def by_state(features: NDArray[np.floating[Any]]) -> Floats:
    """(W, T, S, D) features, copied so that the rows of a hidden state lie together in memory."""
    together = np.ascontiguousarray(np.moveaxis(features, 2, 0), dtype=np.float32)
    return np.moveaxis(together, 0, 2)


def _state_rows(features: Floats, state: int) -> Floats:
    return np.ascontiguousarray(features[:, :, state]).reshape(-1, features.shape[-1])


def exponents(
    rows: Mapping[str, Floats], learnt: LearntStates, machines: Sequence[Readings], variants: int
) -> list[Floats]:
    """Weighted squared distances of rows to the clips learnt from, of several machines that share them.

    Args:
        rows: stream -> (V, A, S, D) standardised, V variants of A clips, or 1.
        learnt: likewise, (W, T, S, D).
        machines: what each reads.
        variants: in how many variants the rows come; of the learnt clips as many as any stream has.

    Returns:
        (variants * A, W * T) for every machine.
    """
    others = max(values.shape[0] for values in learnt.features.values())
    clips, count = (next(iter(of.values())).shape[1] for of in (rows, learnt.features))
    sums = [np.zeros((variants, clips, others, count), np.float32) for _ in machines]
    blocks = dict.fromkeys(
        (name, state) for reads in machines for name, read in reads.items() for state in read.states
    )
    for name, state in blocks:
        distance = mean_squared_differences(_state_rows(rows[name], state), *learnt.rows(name, state))
        distance = distance.reshape(rows[name].shape[0], clips, -1, count)
        for total, reads in zip(sums, machines, strict=True):
            if name in reads and state in reads[name].states:
                total += np.float32(reads[name].weight / len(reads[name].states)) * distance
    return [total.reshape(variants * clips, others * count) for total in sums]


def side_by_side(rows: Mapping[str, Floats], readings: Readings, variants: int) -> Floats:
    """(variants * A, sum of S * D) features of (V, A, S, D) streams, each stream's states together as long as one of them."""
    parts = []
    for name, read in readings.items():
        values = rows[name][:, :, read.first : read.last + 1]
        values = np.broadcast_to(values, (variants, *values.shape[1:]))
        factor = np.float32(read.weight * len(read.states) ** -0.5)
        parts.append(factor * values.reshape(variants * values.shape[1], -1))
    return np.concatenate(parts, axis=1)


def averaged(scores: tuple[Floats, Floats], variants: int) -> tuple[Floats, Floats]:
    """(V * A, C) scores and (V * A,) valence as means over the variants."""
    classes, valence = scores
    if variants == 1:
        return classes, valence
    return (
        classes.reshape(variants, -1, classes.shape[1]).mean(axis=0),
        valence.reshape(variants, -1).mean(axis=0),
    )
