from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from mer.alignment.geometry import alignment_loss, geometry_figures, uniformity_loss


def unit(rows: int, features: int, seed: int) -> NDArray[np.float32]:
    values = np.random.default_rng(seed).normal(size=(rows, features))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def test_equal_the_formulas_written_out() -> None:
    trained, anchor = unit(12, 5, 0), unit(12, 5, 1)
    apart = [float(((trained[i] - anchor[i]) ** 2).sum()) for i in range(12)]
    assert alignment_loss(trained, anchor) == pytest.approx(np.mean(apart), rel=1e-5)
    kernel = [
        math.exp(-2 * float(((trained[i] - trained[j]) ** 2).sum()))
        for i in range(12)
        for j in range(12)
        if i != j
    ]
    assert uniformity_loss(trained) == pytest.approx(math.log(np.mean(kernel)), rel=1e-4)
    strangers = [float(((trained[i] - anchor[j]) ** 2).sum()) for i in range(12) for j in range(12) if i != j]
    figures = geometry_figures(trained, anchor)
    assert figures["strangers_distance"] == pytest.approx(np.mean(strangers), rel=1e-4)
    assert figures["uniformity_anchor"] == pytest.approx(uniformity_loss(anchor))


def test_the_ends_of_both_scales() -> None:
    point = np.tile(unit(1, 4, 0), (6, 1))
    assert uniformity_loss(point) == pytest.approx(0.0, abs=1e-5)
    assert alignment_loss(point, -point) == pytest.approx(4.0)
    assert uniformity_loss(np.eye(6, dtype=np.float32)) == pytest.approx(-4.0)
    assert geometry_figures(point[:1], point[:1]) == {}
