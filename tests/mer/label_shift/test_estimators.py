"""EM and BBSE against quapy, naive references, and problems whose answer is known."""

from __future__ import annotations

import time

import numpy as np
import pytest
from quapy.method.aggregative import ACC, EMQ, PACC, BBSEhard, BBSEsoft
from scipy.optimize import minimize
from scored_clips import SHIFTED, TRAINING, calibration, drawn, target

from mer.errors import ConfigError
from mer.label_shift.bbse import (
    ILL_CONDITIONED,
    Prediction,
    confusion_of,
    estimate_bbse,
    mixture_weights,
    predictions,
    pull_of,
    to_simplex,
)
from mer.label_shift.calibration import fit_bias_corrected
from mer.label_shift.likelihood import estimate_em, expand, maximise, prior_ratios

AGREEMENT = 1e-3


def posteriors(seed: int, count: int = 4000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Calibrated log-posteriors of labelled and of target clips, and the labels."""
    own, other = calibration(1500, seed), target(SHIFTED, count, seed + 100)
    fitted = fit_bias_corrected(own.logits, own.truth).calibrated
    return fitted.log_probabilities(own.logits), fitted.log_probabilities(other.logits), own.truth


@pytest.mark.parametrize("seed", range(5))
def test_em_agrees_with_quapy(seed: int) -> None:
    own, other, truth = posteriors(seed)
    prior = np.bincount(truth, minlength=6) / len(truth)
    theirs, corrected = EMQ.EM(prior, np.exp(other), epsilon=1e-8)
    ours = estimate_em(other, prior).prior
    assert np.abs(ours - theirs).max() < AGREEMENT / 10
    assert np.abs(ours - prior).max() > 0.05, "nothing was estimated"
    again = np.exp(other) * ours / prior
    np.testing.assert_allclose(again / again.sum(axis=1, keepdims=True), corrected, atol=AGREEMENT)
    assert own.shape[1] == 6


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_bbse_agrees_with_quapy(kind: Prediction, seed: int) -> None:
    own, other, truth = posteriors(seed)
    classes = np.arange(6)
    here, there = predictions(own, kind), predictions(other, kind)
    confusion = confusion_of(here, truth)
    ours = estimate_bbse(confusion, there.mean(axis=0))
    if kind == "soft":
        rates = PACC.getPteCondEstim(classes, truth, here)
        joint = BBSEsoft.getConfusionJointProb(classes, truth, here)
    else:
        rates = ACC.getPteCondEstim(classes, truth, here.argmax(axis=1))
        joint = BBSEhard.getConfusionJointProb(classes, truth, here.argmax(axis=1))
    np.testing.assert_allclose(confusion.conditional, rates, atol=1e-12)
    for solver in ("exact-raise", "minimize"):
        adjusted = ACC.solve_adjustment(rates, there.mean(axis=0), method="inversion", solver=solver)
        assert np.abs(ours - adjusted).max() < AGREEMENT
    weights = BBSEhard.solve_importance_weights(joint, there.mean(axis=0), solver="exact-raise")
    assert np.abs(ours - weights * confusion.prior).max() < AGREEMENT, "importance weights of Lipton et al."


def test_em_is_the_plain_iteration_in_fewer_steps() -> None:
    _, other, truth = posteriors(0)
    prior = np.bincount(truth, minlength=6) / len(truth)
    q = prior.copy()
    for _ in range(3000):
        weights = np.exp(other) * q / prior
        q = (weights / weights.sum(axis=1, keepdims=True)).mean(axis=0)
    found = estimate_em(other, prior)
    np.testing.assert_allclose(found.prior, q, atol=1e-7)
    assert found.steps < 200
    likelihood = [np.log(prior_ratios(other, prior) @ at).sum() for at in (found.prior, prior)]
    assert found.ratio == pytest.approx(2 * (likelihood[0] - likelihood[1]))


def spoilt_posteriors(prior: np.ndarray, count: int) -> np.ndarray:
    return drawn(prior, count, seed=11)[0]


@pytest.mark.parametrize("pull", [10.0, 100.0, 3000.0])
def test_a_pull_is_as_many_clips_of_known_classes(pull: float) -> None:
    posteriors = spoilt_posteriors(SHIFTED, 400)
    known = np.exp(posteriors)
    q = TRAINING.copy()
    for _ in range(4_000):  # plain MAP-EM, as it is written down
        responsible = known * (q / TRAINING)
        responsible /= responsible.sum(axis=1, keepdims=True)
        q = (responsible.sum(axis=0) + pull * TRAINING) / (len(known) + pull)
    found = estimate_em(posteriors, TRAINING, pull=pull)
    assert np.abs(found.prior - q).max() < 1e-6 and found.prior.sum() == pytest.approx(1.0)


def test_the_pull_leads_from_the_estimate_to_the_training_priors() -> None:
    posteriors = spoilt_posteriors(SHIFTED, 400)
    away = [
        np.abs(estimate_em(posteriors, TRAINING, pull=pull).prior - TRAINING).sum()
        for pull in (0, 30, 300, 1e6)
    ]
    assert away == sorted(away, reverse=True) and away[0] > 0.3 and away[-1] < 1e-3


def test_em_finds_a_class_that_is_not_there() -> None:
    present = np.array([0.5, 0.3, 0.2, 0.0, 0.0, 0.0])
    found = estimate_em(drawn(present, 20_000, seed=3)[0], TRAINING).prior
    assert np.abs(found - present).sum() < 0.03
    assert found.min() >= 0 and found.sum() == pytest.approx(1.0)
    with pytest.raises(ConfigError, match="above 0"):
        estimate_em(drawn(present, 10, seed=3)[0], present)


def test_twenty_thousand_clips_take_milliseconds() -> None:
    logs, _ = drawn(SHIFTED, 20_000, seed=0)
    seconds = []
    for _ in range(5):
        started = time.process_time()
        estimate_em(logs, TRAINING)
        seconds.append(time.process_time() - started)
    assert min(seconds) < 0.1


def test_the_expansion_finds_the_maximum_of_groups_nearby() -> None:
    logs, _ = drawn(SHIFTED, 6000, seed=0)
    ratios = prior_ratios(logs, TRAINING)
    groups = np.random.default_rng(0).integers(0, 6, size=6000)
    found = maximise(expand(ratios, estimate_em(logs, TRAINING).prior, groups))
    whole = expand(ratios, TRAINING)
    parts = expand(ratios, TRAINING, groups)
    np.testing.assert_allclose(parts.gradient.sum(axis=0), whole.gradient[0])
    np.testing.assert_allclose(parts.information.sum(axis=0), whole.information[0])
    assert parts.clips.tolist() == np.bincount(groups).tolist()
    for group in range(6):
        exact = estimate_em(logs[groups == group], TRAINING).prior
        assert np.abs(found[group] - exact).max() < 0.005


def test_least_squares_stays_on_the_simplex() -> None:
    rng = np.random.default_rng(0)
    conditional = rng.dirichlet(np.full(6, 0.5), size=(40, 6)).swapaxes(1, 2)
    mean, prior = rng.dirichlet(np.full(6, 0.3), size=40), np.tile(TRAINING, (40, 1))
    found = mixture_weights(conditional, mean, prior)
    assert (found >= 0).all() and np.allclose(found.sum(axis=1), 1)
    assert (found == 0).any(), "no bound was met: the test shows nothing"
    for place in range(8):
        best = minimize(
            lambda q, at=place: ((conditional[at] @ q - mean[at]) ** 2).sum(),
            np.full(6, 1 / 6),
            method="SLSQP",
            bounds=[(0, 1)] * 6,
            constraints={"type": "eq", "fun": lambda q: q.sum() - 1},
            options={"ftol": 1e-12, "maxiter": 500},
        )
        own = ((conditional[place] @ found[place] - mean[place]) ** 2).sum()
        assert own <= best.fun + 1e-7


def test_the_nearest_point_of_the_simplex() -> None:
    np.testing.assert_allclose(to_simplex(np.array([[0.2, 0.3, 0.5]])), [[0.2, 0.3, 0.5]])
    np.testing.assert_allclose(to_simplex(np.array([[2.0, 0.0, -1.0]])), [[1.0, 0.0, 0.0]])
    np.testing.assert_allclose(to_simplex(np.array([[0.8, 0.8, -0.1]])), [[0.5, 0.5, 0.0]])


@pytest.mark.slow
def test_an_ill_conditioned_confusion_is_pulled_to_the_training_priors() -> None:
    rng = np.random.default_rng(0)
    pulled, free = [], []
    for seed in range(20):
        own, truth = drawn(TRAINING, 400, seed, separation=0.35)
        other, _ = drawn(TRAINING, 400, seed + 50, separation=0.35)
        confusion = confusion_of(predictions(own, "soft"), truth)
        assert confusion.smallest < ILL_CONDITIONED
        mean = predictions(other, "soft").mean(axis=0)
        pulled.append(np.abs(estimate_bbse(confusion, mean, pull_of(confusion, 400, 400)) - TRAINING).sum())
        free.append(np.abs(estimate_bbse(confusion, mean) - TRAINING).sum())
    assert np.mean(pulled) < 0.5 * np.mean(free)
    clear, truth = drawn(TRAINING, 3000, seed=0)
    assert pull_of(confusion_of(predictions(clear, "soft"), truth), 400, 400) == 0.0
    with pytest.raises(ConfigError, match="every class"):
        confusion_of(rng.dirichlet(np.ones(6), size=5), np.zeros(5, dtype=np.int64))
