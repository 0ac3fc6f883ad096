"""Combining posteriors: weights, stacking, calibration, pruning; everything is fitted on held-out clips."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import softmax
from scipy.stats import entropy

from mer.ensemble.combine import entropy_weighted, log_pooled, tempered, uniform, weighted
from mer.ensemble.config import Pruning, Weighting
from mer.ensemble.ensemble import Ensemble, fit_ensemble
from mer.ensemble.pruning import backward_elimination, greedy_selection, mean_log_likelihood, weighted_f1
from mer.ensemble.stacking import stacked_weights
from mer.errors import ConfigError
from mer.evaluation.calibration import fit_temperature, negative_log_likelihood
from mer.label_shift.vote import prior_weighted_vote
from mer.posteriors import Posteriors
from mer.recipes.ensemble import EnsembleConfig

CLASSES = 4


def model(truth: np.ndarray, skill: float, seed: int, scale: float = 1.0) -> Posteriors:
    """Logits that tell the truth with this strength, under noise; valence likewise."""
    rng = np.random.default_rng(seed)
    logits = scale * (skill * np.eye(CLASSES)[truth] + rng.normal(size=(len(truth), CLASSES)))
    ids = tuple(f"c{i}" for i in range(len(truth)))
    return Posteriors(ids, logits.astype(np.float32), rng.normal(size=len(truth)).astype(np.float32))


def labels(count: int = 400, seed: int = 9) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, CLASSES, size=count)


def three(truth: np.ndarray) -> list[Posteriors]:
    return [model(truth, skill, seed) for seed, skill in enumerate((2.0, 1.5, 0.0))]


def test_uniform_is_the_mean_of_probabilities_and_of_valence() -> None:
    members = three(labels(20))
    expected = np.mean([softmax(m.logits.astype(np.float64), axis=1) for m in members], axis=0)
    np.testing.assert_allclose(uniform(members).probabilities(), expected, atol=1e-6)
    np.testing.assert_allclose(
        uniform(members).valence, np.mean([m.valence for m in members], axis=0), atol=1e-6
    )


def test_entropy_weights_follow_each_clips_certainty() -> None:
    members = three(labels(20))
    probabilities = [softmax(m.logits.astype(np.float64), axis=1) for m in members]
    shares = np.exp([-entropy(p, axis=1) for p in probabilities])
    shares /= shares.sum(axis=0)
    expected = sum(w[:, None] * p for w, p in zip(shares, probabilities, strict=True))
    found = entropy_weighted(members)
    np.testing.assert_allclose(found.probabilities(), expected, atol=1e-6)
    valence = sum(w * m.valence for w, m in zip(shares, members, strict=True))
    np.testing.assert_allclose(found.valence, valence, atol=1e-6)


def test_a_member_that_is_sure_outvotes_two_that_know_nothing() -> None:
    ids = ("a",)
    sure = Posteriors(ids, np.array([[0, 9, 0, 0]], np.float32), np.array([2], np.float32))
    flat = Posteriors(ids, np.zeros((1, 4), np.float32), np.array([0], np.float32))
    three_of_them = [flat, sure, flat]
    assert uniform(three_of_them).probabilities()[0, 1] == pytest.approx(0.5, abs=1e-3)
    assert entropy_weighted(three_of_them).probabilities()[0, 1] > 0.7


def test_the_product_is_the_vote_without_a_shift() -> None:
    members = three(labels(20))
    found = log_pooled(members)
    prior = np.full(members[0].logits.shape[1], 1 / members[0].logits.shape[1])
    vote = prior_weighted_vote([np.log(m.probabilities()) for m in members], prior, prior)
    np.testing.assert_allclose(found.probabilities(), np.exp(vote), atol=1e-6)
    np.testing.assert_allclose(found.valence, uniform(members).valence)


@pytest.mark.parametrize("combine", [uniform, entropy_weighted, log_pooled])
def test_one_member_is_itself_and_order_does_not_matter(combine: object) -> None:
    truth = labels(30)
    first, second, _ = three(truth)
    assert callable(combine)
    np.testing.assert_allclose(combine([first]).probabilities(), first.probabilities(), atol=1e-6)
    shuffled = second.restricted(second.clip_ids[::-1])
    one, other = combine([first, second]), combine([shuffled, first]).restricted(first.clip_ids)
    np.testing.assert_allclose(one.probabilities(), other.probabilities(), atol=1e-6)


def test_members_without_valence_have_no_say_in_it() -> None:
    first, second, third = three(labels(5))
    silent = Posteriors(second.clip_ids, second.logits, np.full(5, np.nan, np.float32))
    np.testing.assert_allclose(uniform([first, silent]).valence, first.valence, atol=1e-6)
    assert np.isnan(uniform([silent, silent]).valence).all()
    assert not np.isnan(entropy_weighted([silent, third]).valence).any()


def test_a_probability_of_zero_stays_finite() -> None:
    extreme = Posteriors(("a",), np.array([[0, 500, 0, 0]], np.float32), np.zeros(1, np.float32))
    for combined in (uniform([extreme]), entropy_weighted([extreme, extreme]), log_pooled([extreme] * 3)):
        assert np.isfinite(combined.logits).all()


def test_what_does_not_fit_together_is_refused() -> None:
    truth = labels(5)
    first, *_ = three(truth)
    other = Posteriors(tuple("abcde"), first.logits, first.valence)
    for wrong in (
        [],
        [first, other],
        [first, Posteriors(first.clip_ids, first.logits[:, :3], first.valence)],
    ):
        with pytest.raises(ConfigError, match="ensemble: expected"):
            uniform(wrong)
    for weights in ([0.5], [0.7, 0.7], [1.5, -0.5]):
        with pytest.raises(ConfigError, match="expected 2 weights, none negative, 1 in sum"):
            weighted([first, first], np.array(weights))
    with pytest.raises(ConfigError, match="expected 5 labels, found 4"):
        stacked_weights([first], truth[:4])
    with pytest.raises(ConfigError, match="found 0 labels in 5"):
        greedy_selection([first], np.full(5, -1))


def test_stacked_weights_are_the_optimum_that_a_general_solver_finds() -> None:
    truth = labels()
    truth[::11] = -1
    known = truth >= 0
    members = [model(labels(), skill, seed) for seed, skill in enumerate((2.0, 1.5, 0.5, 0.0))]
    likelihoods = np.stack([m.probabilities()[known, truth[known]] for m in members])
    solved = minimize(
        lambda w: -np.log(w @ likelihoods).mean(),
        np.full(4, 0.25),
        bounds=[(0, 1)] * 4,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        options={"ftol": 1e-12},
    )
    weights = stacked_weights(members, truth, tolerance=1e-8)
    np.testing.assert_allclose(weights, solved.x, atol=2e-3)
    assert -np.log(weights @ likelihoods).mean() <= solved.fun + 1e-7
    assert weights[3] < 0.02 < weights[0], "a member that knows nothing gets nothing"
    np.testing.assert_allclose(stacked_weights(members, np.full(len(truth), -1)), 0.25)


def test_greedy_selection_is_carunas_by_brute_force() -> None:
    truth = labels(120)
    members = [model(truth, skill, seed) for seed, skill in enumerate((0.8, 1.4, 1.2, 0.0))]
    chosen: list[int] = []
    best: tuple[float, list[int]] = (-1.0, [])
    for _ in range(5):
        scores = [weighted_f1(uniform([members[i] for i in [*chosen, new]]), truth) for new in range(4)]
        chosen = [*chosen, int(np.argmax(scores))]
        best = max(best, (max(scores), sorted(chosen)), key=lambda pair: pair[0])
    assert greedy_selection(members, truth, rounds=5) == tuple(best[1])


def test_greedy_selection_may_take_a_member_twice() -> None:
    truth = labels(200)
    good, bad = model(truth, 2.0, 1), model(truth, 0.0, 2, scale=4.0)
    chosen = greedy_selection([good, bad], truth, rounds=6)
    assert set(chosen) == {0} or chosen.count(0) > chosen.count(1)


def test_pruning_never_scores_below_what_it_started_from_and_drops_what_harms() -> None:
    truth = labels(200)
    members = [*three(truth)[:2], model(truth, 0.0, 7, scale=6.0)]
    whole = weighted_f1(uniform(members), truth)
    for chosen in (backward_elimination(members, truth), greedy_selection(members, truth)):
        assert weighted_f1(uniform([members[i] for i in chosen]), truth) >= whole
    for prune in (backward_elimination, greedy_selection):
        assert 2 not in prune(members, truth, score=mean_log_likelihood)
    same = [members[0]] * 3
    assert backward_elimination(same, truth) == (0,)


@pytest.mark.parametrize("weighting", ["uniform", "entropy", "stacked", "log_pool"])
@pytest.mark.parametrize("pruning", ["none", "greedy", "backward"])
def test_a_fitted_ensemble_is_better_than_its_members_on_other_clips(
    weighting: Weighting, pruning: Pruning
) -> None:
    truth = labels(1200)
    members = {
        name: model(truth, skill, seed, scale)
        for seed, (name, skill, scale) in enumerate(
            [("s1", 1.6, 1.0), ("s2", 1.5, 5.0), ("s3", 1.4, 0.3), ("noise", 0.0, 3.0)]
        )
    }
    ids = members["s1"].clip_ids
    held = {name: own.restricted(ids[:400]) for name, own in members.items()}
    other = {name: own.restricted(ids[400:]) for name, own in members.items()}
    config = EnsembleConfig(members={name: {} for name in members}, weighting=weighting, pruning=pruning)
    fitted = fit_ensemble(held, truth[:400], config)
    found = fitted.combine(other)
    alone = max(weighted_f1(own, truth[400:]) for own in other.values())
    assert weighted_f1(found, truth[400:]) > alone + 0.02
    losses = [negative_log_likelihood(own.logits, truth[400:]) for own in other.values()]
    assert negative_log_likelihood(found.logits, truth[400:]) < min(losses)
    record = json.loads(json.dumps(fitted.to_json()))
    assert Ensemble.from_json(record) == fitted
    assert set(fitted.needed) == set(fitted.members) and len(set(fitted.needed)) == len(fitted.needed)


def test_temperatures_are_those_of_the_held_out_clips() -> None:
    truth = labels()
    held = {"a": model(truth, 2.0, 1, scale=4.0), "b": model(truth, 2.0, 2)}
    config = EnsembleConfig(members={"a": {}, "b": {}}, weighting="uniform")
    fitted = fit_ensemble(held, truth, config)
    assert fitted.temperatures["a"] == pytest.approx(fit_temperature(held["a"].logits, truth))
    expected = uniform([tempered(held[name], fitted.temperatures[name]) for name in held])
    assert fitted.temperature == pytest.approx(fit_temperature(expected.logits, truth))
    assert fitted.temperature < 1, "a mean of probabilities is less sure than its members"
    np.testing.assert_array_equal(fitted.combine(held).logits, tempered(expected, fitted.temperature).logits)
    raw = fit_ensemble(held, truth, config.model_copy(update={"calibrate": False}))
    assert set(raw.temperatures.values()) == {1.0}


def test_without_held_out_labels_nothing_is_fitted() -> None:
    truth = labels(30)
    held = {"a": model(truth, 2.0, 1), "b": model(truth, 2.0, 2)}
    config = EnsembleConfig(members={"a": {}, "b": {}}, weighting="stacked", pruning="greedy")
    fitted = fit_ensemble(held, np.full(30, -1), config)
    assert fitted.members == ("a", "b") and fitted.weights == (0.5, 0.5)
    with pytest.raises(ConfigError, match=r"found none of \['b'\]"):
        fitted.combine({"a": held["a"]})
