"""Orders of a review queue: numbers by which clips come first, from calibrated probabilities alone."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError

Floats = NDArray[np.float64]


class Order(StrEnum):
    """What comes first."""

    UNCERTAINTY = "uncertainty"
    """Clips without a true label of which the model is least sure: entropy of its calibrated probabilities."""
    INFLUENCE = "influence"
    """Clips without a true label whose label would change the model most: see `expected_change`."""
    ERRORS = "errors"
    """Labelled clips whose label is likely wrong: see `mer.review.label_errors`."""
    RANDOM = "random"
    """Clips without a true label in an order drawn once for the model version: what reviewed clips can be compared with."""


def entropy(probabilities: Floats) -> Floats:
    """(N,) entropy of the rows in nats, 0 to log C.

    Args:
        probabilities: (N, C) calibrated, rows sum to 1.
    """
    safe = np.maximum(probabilities, np.finfo(np.float64).tiny)
    return np.asarray(-(probabilities * np.log(safe)).sum(axis=1))


def margin(probabilities: Floats) -> Floats:
    """(N,) how far the likeliest class is ahead of the second, 0 to 1."""
    if probabilities.shape[1] < 2:
        raise ConfigError(f"margin: expected two classes or more, found {probabilities.shape[1]}")
    highest = np.partition(probabilities, -2, axis=1)
    return np.asarray(highest[:, -1] - highest[:, -2])


def expected_change(probabilities: Floats, learnt: NDArray[np.int64], weight: Floats) -> Floats:
    """(N,) expected length of the change of the gradient at the model's outputs when a person names the class.

    Expected gradient length (Settles, Craven and Ray 2008; known) with two changes (reconstruction): the gradient is that of the
    last layer's outputs, p - e(c), features taken to be of equal length, since kernel machines have no other; and a clip that is
    learnt from already by a pseudo-label k of weight w is worth what the answer changes:
    sum over c of p(c) * |(p - e(c)) - w * (p - e(k))|. Surely known clips give 0 where the pseudo-label is right and weighs 1,
    and most where a heavy pseudo-label is likely wrong.

    Args:
        probabilities: (N, C) calibrated probabilities of a model that has not learnt the pseudo-labels.
        learnt: (N,) class of the pseudo-label; -1: none.
        weight: (N,) its weight in the loss; not read where there is none.
    """
    classes = probabilities.shape[1]
    answers = probabilities[:, None, :] - np.eye(classes)[None]  # (N, answer, C)
    known = np.eye(classes)[np.maximum(learnt, 0)]
    already = np.where(learnt >= 0, weight, 0.0)[:, None] * (probabilities - known)  # (N, C)
    change = np.linalg.norm(answers - already[:, None, :], axis=2)
    return np.asarray((probabilities * change).sum(axis=1))


def ranked(names: list[str] | tuple[str, ...], scores: Floats) -> NDArray[np.int64]:
    """Rows by falling score; equal ones by name, so that an order is one on every machine."""
    return np.lexsort((np.array(names), -scores))


def shuffled(names: list[str] | tuple[str, ...], seed: int) -> NDArray[np.int64]:
    """Rows in an order that depends on names and seed alone, whatever their order was."""
    order = np.argsort(np.array(names), kind="stable")
    return np.asarray(order[np.random.default_rng(seed).permutation(len(names))], dtype=np.int64)
