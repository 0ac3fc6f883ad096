"""Acceptance of label shift in the Gaussian simulation with the challenges' priors (systems.md, B.3)."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.label_shift.estimators import SCENARIOS, Outcome, costs, judged, quapy_differences, summary
from benchmarks.label_shift.simulation import MER2023, MER2024, Scenario, World, draw

SEEDS = 20


def test_a_draw_is_as_hard_as_the_challenge_and_miscalibrated() -> None:
    drawn = draw(MER2023, seed=0, target_clips=4000)
    assert len(drawn.truth) == 3373 and drawn.held_out[0].shape == (3373, 6)
    right = (drawn.target[0].argmax(axis=1) == drawn.target_truth).mean()
    best = (drawn.bayes.argmax(axis=1) == drawn.target_truth).mean()
    assert 0.8 < right < best < 0.97
    confident = np.exp(drawn.target[0] - drawn.target[0].max(axis=1, keepdims=True))
    confidence = (1 / confident.sum(axis=1)).mean()
    assert confidence > right + 0.02, "the classifier is not too sure: no realistic one"


def test_bayes_posteriors_are_those_of_the_world() -> None:
    world, prior = World.drawn(3), MER2024.priors[0]
    features, truth = world.clips(prior, 60_000, np.random.default_rng(0))
    posteriors = np.exp(world.posteriors(features, prior))
    np.testing.assert_allclose(posteriors.mean(axis=0), prior, atol=0.005)
    confidence, right = posteriors.max(axis=1), posteriors.argmax(axis=1) == truth
    sure = confidence > 0.9
    assert confidence[sure].mean() == pytest.approx(right[sure].mean(), abs=0.004)


def test_quapy_agrees_on_the_simulation() -> None:
    differences = quapy_differences(draw(MER2023, seed=1, views=[slice(0, 60)]))
    assert set(differences) == {"quapy_em", "quapy_bbse_soft", "quapy_bbse_hard"}
    assert all(value < 1e-3 for value in differences.values())  # type: ignore[operator]


def test_summary_of_known_outcomes() -> None:
    rows = [
        Outcome(
            errors={"em": error},
            served=80.0,
            corrected=81.0,
            always=81.5,
            oracle=82.0,
            shifted=True,
            covered=1.0,
        )
        for error in (0.01, 0.03)
    ]
    found = summary(rows, shift=True)
    assert (found["l1_em"], found["l1_em_max"]) == (pytest.approx(0.02), 0.03)
    assert (found["gain"], found["gain_share"], found["waf_always"]) == (1.0, 0.5, 81.5)
    assert "gain_share" not in summary(rows, shift=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mer2023", "mer2024"])
def test_priors_are_found_and_the_correction_gains(name: str) -> None:
    found = outcomes(SCENARIOS[name])
    for kind, rows in found.items():
        figures = summary(rows, shift=True)
        assert figures["l1_em"] <= 0.05, kind
        assert figures["gain_share"] >= 0.9, kind
        assert figures["gain_low"] > 0, kind
        assert figures["shifted"] == 1.0, kind
        for estimator in rows[0].errors:
            assert figures[f"l1_{estimator}"] <= 0.05, (kind, estimator)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mer2023_null", "mer2024_null"])
def test_without_shift_nothing_is_harmed(name: str) -> None:
    found = outcomes(SCENARIOS[name])
    for kind in ("trained", "bayes"):
        figures = summary(found[kind], shift=False)
        assert abs(figures["waf_corrected"] - figures["waf_served"]) < 0.1, kind
        assert abs(figures["waf_always"] - figures["waf_served"]) < 0.1, "harmless even without the test"
    for kind in ("trained", "vote"):
        figures = summary(found[kind], shift=False)
        assert abs(figures["waf_corrected"] - figures["waf_served"]) < 0.1, kind
        assert figures["shifted"] <= 0.1, "a level of .01 in 20 draws"


@pytest.mark.slow
def test_costs_are_milliseconds() -> None:
    found = costs(draw(MER2023, seed=0, views=[slice(0, 60)]))
    assert found["milliseconds_em"] < 100  # type: ignore[operator]
    assert found["milliseconds_tracked_batch"] < 50  # type: ignore[operator]


def outcomes(scenario: Scenario) -> dict[str, list[Outcome]]:
    found = [judged(scenario, draw(scenario, seed)) for seed in range(SEEDS)]
    return {kind: [one[kind] for one in found] for kind in found[0]}
