from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from mer.alignment.contrastive import LearnedTemperature, cosine_distance, symmetric_info_nce


def unit(rows: int, features: int, seed: int) -> torch.Tensor:
    values = torch.randn(rows, features, generator=torch.Generator().manual_seed(seed))
    return functional.normalize(values, dim=-1)


def test_equals_the_formula_written_out() -> None:
    trained, anchor, temperature = unit(5, 3, 0).double(), unit(5, 3, 1).double(), torch.tensor(0.3).double()
    score = (trained @ anchor.T / temperature).numpy()
    both = 0.0
    for i in range(5):
        both -= score[i, i] - np.log(np.exp(score[i]).sum())
        both -= score[i, i] - np.log(np.exp(score[:, i]).sum())
    assert float(symmetric_info_nce(trained, anchor, temperature)) == pytest.approx(both / 10)
    assert float(symmetric_info_nce(anchor, trained, temperature)) == pytest.approx(both / 10)


def test_bounds_of_the_loss() -> None:
    alike = unit(1, 4, 0).expand(8, 4)
    cold = torch.tensor(0.01)
    assert float(symmetric_info_nce(alike, alike, cold)) == pytest.approx(math.log(8))
    apart = torch.eye(8)
    assert float(symmetric_info_nce(apart, apart, cold)) < 1e-6
    assert float(symmetric_info_nce(apart, apart.roll(1, dims=0), cold)) == pytest.approx(100.0, rel=1e-3)


def test_cosine_distance_of_true_pairs() -> None:
    vectors = unit(4, 6, 2)
    assert float(cosine_distance(vectors, vectors)) == pytest.approx(0.0, abs=1e-6)
    assert float(cosine_distance(vectors, -vectors)) == pytest.approx(2.0)


def test_temperature_is_learned_within_bounds_and_comes_back() -> None:
    temperature = LearnedTemperature(0.1, (0.05, 0.5))
    assert float(temperature().detach()) == pytest.approx(0.1)
    optimiser = torch.optim.SGD(temperature.parameters(), lr=100.0)

    def pull(sign: float) -> float:
        optimiser.zero_grad()
        (sign * temperature()).backward()
        optimiser.step()
        temperature.clamp()
        return float(temperature().detach())

    assert pull(1.0) == pytest.approx(0.05)
    assert pull(1.0) == pytest.approx(0.05)
    assert pull(-1.0) == pytest.approx(0.5)
    assert 0.049 < pull(1.0) < 0.5  # not stuck at its bound


def test_further_negatives_are_those_of_pictures_alone() -> None:
    trained, anchor, others = (unit(rows, 3, seed).double() for rows, seed in ((4, 0), (4, 1), (6, 2)))
    temperature = torch.tensor(0.2).double()
    score, further = (trained @ anchor.T / temperature).numpy(), (trained @ others.T / temperature).numpy()
    both = 0.0
    for i in range(4):
        both -= score[i, i] - np.log(np.exp(score[i]).sum() + np.exp(further[i]).sum())
        both -= score[i, i] - np.log(np.exp(score[:, i]).sum())
    assert float(symmetric_info_nce(trained, anchor, temperature, others)) == pytest.approx(both / 8)
    plain = symmetric_info_nce(trained, anchor, temperature)
    torch.testing.assert_close(symmetric_info_nce(trained, anchor, temperature, others[:0]), plain)
