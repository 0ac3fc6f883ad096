"""Places on maps: the first two principal components."""

from __future__ import annotations

import numpy as np
import pytest

from mer.report.plane import principal_plane


def test_it_is_the_plane_of_largest_variance() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(0, 1, (50, 5)) @ generator.normal(0, 1, (5, 5))
    places, shares = principal_plane(values)
    standard = (values - values.mean(axis=0)) / values.std(axis=0)
    spectrum = np.sort(np.linalg.eigvalsh(np.cov(standard.T, bias=True)))[::-1]
    assert places.var(axis=0) == pytest.approx(spectrum[:2])
    assert shares == pytest.approx(tuple(spectrum[:2] / spectrum.sum()))
    assert abs(np.corrcoef(places.T)[0, 1]) < 1e-9


def test_the_order_of_the_clips_moves_none() -> None:
    values = np.random.default_rng(1).normal(0, 1, (20, 4))
    places, _ = principal_plane(values)
    mirrored, _ = principal_plane(values[::-1])
    assert mirrored[::-1] == pytest.approx(places)


@pytest.mark.parametrize("values", [np.zeros((4, 3)), np.zeros((0, 3)), np.ones((1, 2))])
def test_where_nothing_differs_all_lie_in_the_middle(values: np.ndarray) -> None:
    places, shares = principal_plane(values)
    assert places.shape == (len(values), 2) and not places.any() and shares == (0.0, 0.0)
