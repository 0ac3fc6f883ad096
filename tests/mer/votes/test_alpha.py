"""Krippendorff's alpha against the worked examples of its author, and a reference written out pair by pair."""

from __future__ import annotations

import numpy as np
import pytest

from mer.errors import ConfigError
from mer.votes.alpha import alpha_of_counts, krippendorff_alpha

X = np.nan
FOUR_OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, X, X, X],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, X, 3],
        [X, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, X],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, X],
    ]
)
"""Krippendorff 2011, Computing Krippendorff's Alpha-Reliability, example C: 4 observers, 12 units, missing values."""


@pytest.mark.parametrize(
    ("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)]
)
def test_published_example_with_missing_values(level: str, published: float) -> None:
    assert round(krippendorff_alpha(FOUR_OBSERVERS, level), 3) == published  # type: ignore[arg-type]


def test_published_example_of_two_observers() -> None:
    # the same paper, example A: binary data of 10 units
    ratings = np.array([[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]], np.float64)
    assert round(krippendorff_alpha(ratings), 3) == 0.095


def by_pairs(ratings: np.ndarray) -> float:
    """Nominal alpha, each pair of values looked at by itself."""
    units = [[v for v in unit if not np.isnan(v)] for unit in ratings.T]
    units = [unit for unit in units if len(unit) > 1]
    values = [v for unit in units for v in unit]
    seen = sum(
        sum(a != b for i, a in enumerate(unit) for j, b in enumerate(unit) if i != j) / (len(unit) - 1)
        for unit in units
    ) / len(values)
    chance = sum(a != b for i, a in enumerate(values) for j, b in enumerate(values) if i != j)
    return 1 - seen / (chance / (len(values) * (len(values) - 1)))


def test_is_the_pairwise_definition() -> None:
    rng = np.random.default_rng(0)
    ratings = rng.integers(0, 4, (5, 30)).astype(np.float64)
    ratings[rng.random(ratings.shape) < 0.4] = np.nan
    assert krippendorff_alpha(ratings) == pytest.approx(by_pairs(ratings), abs=1e-12)


def test_counts_say_the_same_as_ratings() -> None:
    known = np.arange(1.0, 6.0)
    counts = np.array([[np.sum(unit == value) for value in known] for unit in FOUR_OBSERVERS.T], np.float64)
    assert alpha_of_counts(counts, known) == pytest.approx(krippendorff_alpha(FOUR_OBSERVERS), abs=1e-12)


def test_nothing_can_be_said() -> None:
    assert np.isnan(krippendorff_alpha(np.array([[1.0, X], [X, 2.0]])))
    assert np.isnan(krippendorff_alpha(np.ones((3, 4))))
    assert np.isnan(krippendorff_alpha(np.full((2, 3), X)))


def test_wrong_input_is_said() -> None:
    with pytest.raises(ConfigError, match="shape"):
        krippendorff_alpha(np.ones(3))
    with pytest.raises(ConfigError, match="whole counts"):
        alpha_of_counts(np.array([[0.5, 1.5]]), np.array([0.0, 1.0]))
    with pytest.raises(ConfigError, match="0 or more"):
        krippendorff_alpha(np.array([[-1.0, 1.0], [1.0, 1.0]]), "ratio")
    with pytest.raises(ConfigError, match="nominal, ordinal"):
        krippendorff_alpha(FOUR_OBSERVERS, "metric")  # type: ignore[arg-type]
