"""Distances from a training set, against plain formulas and on vectors whose place is known."""

from __future__ import annotations

import numpy as np
import pytest

from mer.domain.gaussian import COMPONENTS, fit_gaussian

WIDTH, RANK = 80, 6


def clips(count: int, seed: int, rank: int = RANK) -> np.ndarray:
    """Vectors that vary in a few directions, and a little in all."""
    mixing = np.random.default_rng(7).normal(size=(rank, WIDTH))
    generator = np.random.default_rng(seed)
    return 3 + generator.normal(size=(count, rank)) @ mixing + 0.1 * generator.normal(size=(count, WIDTH))


def test_the_distance_is_the_larger_one_of_both_formulas() -> None:
    train, others = clips(300, 1), clips(20, 2) * np.linspace(0.5, 2, 20)[:, None]
    fitted = fit_gaussian(train)
    assert fitted.components.shape == (WIDTH, COMPONENTS)
    for vector, distance in zip(others, fitted.distance(others), strict=True):
        standardised = (vector - train.mean(axis=0)) / train.std(axis=0)
        scores = standardised @ fitted.components
        within = float(np.mean(scores**2 / fitted.variances))
        left = standardised - fitted.components @ scores
        off = float(left @ left) / fitted.residual
        assert distance == pytest.approx(np.sqrt(max(within, off)), rel=1e-3)


def test_training_clips_lie_about_1_away_and_new_ones_little_farther() -> None:
    train = clips(300, 1)
    fitted = fit_gaussian(train)
    assert np.sqrt(np.mean(fitted.distance(train) ** 2)) == pytest.approx(1.1, abs=0.15)
    assert np.median(fitted.distance(clips(100, 2))) < 1.3


@pytest.mark.parametrize("direction", ["within", "off"])
def test_far_clips_are_far_in_both_ways(direction: str) -> None:
    train = clips(300, 1)
    fitted = fit_gaussian(train)
    mixing = np.random.default_rng(7).normal(size=(RANK, WIDTH))
    generator = np.random.default_rng(3)
    if direction == "within":
        far = 3 + 20 * generator.normal(size=(20, RANK)) @ mixing
    else:  # as large as a training clip, in directions in which none varies
        far = 3 + generator.normal(size=(20, RANK)) @ generator.normal(size=(RANK, WIDTH))
    assert fitted.distance(far).min() > 1.5 * np.quantile(fitted.distance(clips(300, 2)), 0.99)


def test_features_that_do_not_vary_and_equal_clips_are_no_division_by_zero() -> None:
    train = clips(40, 1)
    train[:, :30] = 5.0
    distances = fit_gaussian(train).distance(np.vstack([train, train + 1e-3]))
    assert np.isfinite(distances).all() and distances.max() < 5
    assert np.isfinite(fit_gaussian(np.ones((9, 4))).distance(np.zeros((2, 4)))).all()


@pytest.mark.parametrize("count", [2, 3, 20, 95])
def test_few_clips_have_few_components(count: int) -> None:
    fitted = fit_gaussian(clips(count, 1))
    assert fitted.components.shape[1] == min(COMPONENTS, count // 3)
    assert np.isfinite(fitted.distance(clips(5, 2))).all()


def test_equal_clips_give_equal_bytes() -> None:
    first, again = fit_gaussian(clips(200, 1)), fit_gaussian(clips(200, 1))
    for part in ("mean", "scale", "components", "variances"):
        assert getattr(first, part).tobytes() == getattr(again, part).tobytes()
