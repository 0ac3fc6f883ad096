"""Reviewed clips: curves, and what a chosen clip is worth in random ones."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.self_training.reviewed import MOST_RANDOM, REVIEWED, STEP, curves, reached


def test_reached_is_interpolated_and_for_good() -> None:
    assert reached(lambda count: count / 100, 0.55) == pytest.approx(55)
    assert reached(lambda count: 0.1, 0.5) == -1
    assert reached(lambda count: 0.9, 0.5) == 0
    dip = {20: 0.9, 30: 0.1}
    assert reached(lambda count: dip.get(count, count / 100), 0.25) == pytest.approx(30 + 10 * 0.15 / 0.3)


def test_curves_average_random_orders_and_pair_by_speaker() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 300)
    speakers = [f"s{row % 10}" for row in range(300)]

    def right(share: float) -> np.ndarray:
        return np.where(rng.random(300) < share, truth, (truth + 1) % 3)

    predicted = {("uncertainty", count): right(0.5 + 0.006 * count) for count in range(0, REVIEWED + 1, STEP)}
    for seed in range(2):
        predicted |= {
            (f"random/{seed}", count): right(0.5 + 0.002 * count) for count in range(0, MOST_RANDOM + 1, STEP)
        }
    figures = curves(truth, predicted, speakers, 3)
    both = [float((predicted[f"random/{seed}", 50] == truth).mean()) for seed in range(2)]
    assert figures["random_50"] == pytest.approx(np.mean(both))
    assert figures["gain_uncertainty"] == pytest.approx(
        float(figures["uncertainty_50"]) - float(np.mean(both))
    )
    assert (
        0 < figures["gain_uncertainty_low"] < figures["gain_uncertainty"] < figures["gain_uncertainty_high"]
    )
    assert 2 < figures["worth"] < 4
