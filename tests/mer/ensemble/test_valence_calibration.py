"""Calibration of valence: the closed form, what it does on other clips, and that a kept ensemble decodes as it was fitted."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from mer.ensemble.combine import entropy_weighted, tempered
from mer.ensemble.ensemble import Ensemble, fit_ensemble
from mer.ensemble.valence import (
    ValenceLabels,
    calibrated,
    class_mean_valence,
    fit_valence_share,
)
from mer.posteriors import Posteriors
from mer.recipes.ensemble import EnsembleConfig

MEANS = np.array([0.0, -2.5, 2.0], np.float32)
CLIPS = 900
CONFIG = EnsembleConfig(members={"a": {}, "b": {}}, calibrate_valence=True)


def world(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Classes, and valence around their means."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, size=CLIPS)
    return truth, (MEANS[truth] + rng.normal(size=CLIPS)).astype(np.float32)


def model(truth: np.ndarray, valence: np.ndarray, seed: int, signal: float, noise: float) -> Posteriors:
    """Overconfident posteriors; valence: class means, a part of the truth beyond them, and noise that was overfitted."""
    rng = np.random.default_rng(seed)
    logits = 3 * (1.5 * np.eye(3)[truth] + rng.normal(size=(len(truth), 3)))
    own = Posteriors(
        tuple(f"c{i}" for i in range(len(truth))), logits.astype(np.float32), np.zeros_like(valence)
    )
    decoded = own.probabilities() @ MEANS
    said = decoded + signal * (valence - decoded) + noise * rng.normal(size=len(truth))
    return Posteriors(own.clip_ids, own.logits, said.astype(np.float32))


def error(posteriors: Posteriors, valence: np.ndarray) -> float:
    return float(np.mean((posteriors.valence.astype(np.float64) - valence) ** 2))


def halves(members: dict[str, Posteriors]) -> tuple[dict[str, Posteriors], dict[str, Posteriors]]:
    ids = next(iter(members.values())).clip_ids
    return (
        {name: own.restricted(ids[:300]) for name, own in members.items()},
        {name: own.restricted(ids[300:]) for name, own in members.items()},
    )


@pytest.mark.parametrize(("signal", "noise"), [(0.3, 0.3), (0.1, 1.5), (0.5, 0.0)])
def test_the_share_is_the_one_a_search_finds(signal: float, noise: float) -> None:
    truth, valence = world()
    members = [model(truth, valence, seed, signal, noise) for seed in (1, 2)]

    def squared(share: float) -> float:
        return sum(
            error(calibrated(own, heat, MEANS, share), valence)
            for own, heat in zip(members, (2.0, 3.0), strict=True)
        )

    found = minimize_scalar(squared, bounds=(0, 1), method="bounded").x
    assert fit_valence_share(members, (2.0, 3.0), ValenceLabels(valence, MEANS)) == pytest.approx(
        found, abs=1e-3
    )


def test_a_share_outside_of_its_range_ends_at_the_range() -> None:
    truth, valence = world()
    right = model(truth, valence, 1, 0.5, 0.0)  # twice as much would be better
    assert fit_valence_share([right], [1.0], ValenceLabels(valence, MEANS)) == 1.0
    wrong = model(truth, valence, 1, -0.5, 0.0)
    assert fit_valence_share([wrong], [1.0], ValenceLabels(valence, MEANS)) == 0.0


def test_clips_and_models_without_valence_have_no_say() -> None:
    truth, valence = world()
    own = model(truth, valence, 1, 0.3, 1.0)
    some = np.where(np.arange(CLIPS) % 2 == 0, valence, np.nan)
    rows = own.restricted(own.clip_ids[::2])
    expected = fit_valence_share([rows], [1.0], ValenceLabels(valence[::2], MEANS))
    silent = Posteriors(own.clip_ids, own.logits, np.full(CLIPS, np.nan, np.float32))
    assert fit_valence_share([own, silent], [1.0, 1.0], ValenceLabels(some, MEANS)) == pytest.approx(expected)
    assert fit_valence_share([silent], [1.0], ValenceLabels(valence, MEANS)) == 1.0
    assert np.isnan(calibrated(silent, 1.0, MEANS, 0.0).valence).all()


def test_share_0_is_class_mean_decoding_and_1_the_model() -> None:
    truth, valence = world()
    own = model(truth, valence, 1, 0.3, 1.0)
    np.testing.assert_allclose(
        calibrated(own, 3.0, MEANS, 0.0).valence, own.probabilities(3.0) @ MEANS, atol=1e-5
    )
    np.testing.assert_allclose(calibrated(own, 1.0, MEANS, 1.0).valence, own.valence, atol=1e-5)
    np.testing.assert_array_equal(calibrated(own, 3.0, MEANS, 0.5).logits, tempered(own, 3.0).logits)


def test_class_means_of_classes_with_few_or_no_clips() -> None:
    emotion = np.array([0, 0, 1, -1, 1])
    valence = np.array([1.0, 3.0, -2.0, 4.0, np.nan], np.float32)
    np.testing.assert_allclose(class_mean_valence(emotion, valence, 3), [2.0, -2.0, 1.5])
    np.testing.assert_array_equal(class_mean_valence(emotion, np.full(5, np.nan, np.float32), 3), np.zeros(3))


def test_calibrated_valence_is_better_on_other_clips_than_the_models_and_than_class_means() -> None:
    truth, valence = world()
    members = {name: model(truth, valence, seed, 0.4, 2.0) for seed, name in enumerate("ab")}
    held, other = halves(members)
    fitted = fit_ensemble(held, truth[:300], CONFIG, ValenceLabels(valence[:300], MEANS))
    raw = fit_ensemble(
        held,
        truth[:300],
        CONFIG.model_copy(update={"calibrate_valence": False}),
        ValenceLabels(valence[:300], MEANS),
    )
    assert (raw.class_valence, raw.member_valence_share, raw.valence_share) == ((), 1.0, 1.0)
    for name, own in other.items():
        cooled = tempered(own, fitted.temperatures[name])
        found = error(fitted.calibrated(name, own), valence[300:])
        assert found < error(own, valence[300:]) - 0.1
        by_class_means = cooled.probabilities() @ MEANS
        assert found < float(np.mean((by_class_means - valence[300:]) ** 2))
        np.testing.assert_array_equal(fitted.calibrated(name, own).logits, cooled.logits)
    both, neither = fitted.combine(other), raw.combine(other)
    np.testing.assert_array_equal(both.logits, neither.logits)
    assert error(both, valence[300:]) < error(neither, valence[300:]) - 0.05
    assert error(both, valence[300:]) < min(
        error(fitted.calibrated(n, o), valence[300:]) for n, o in other.items()
    )


def test_the_combination_is_decoded_after_its_members() -> None:
    truth, valence = world()
    members = {name: model(truth, valence, seed, 0.3, 1.0) for seed, name in enumerate("ab")}
    fitted = fit_ensemble(members, truth, CONFIG, ValenceLabels(valence, MEANS))
    own = [
        calibrated(one, fitted.temperatures[name], MEANS, fitted.member_valence_share)
        for name, one in members.items()
    ]
    expected = calibrated(entropy_weighted(own), fitted.temperature, MEANS, fitted.valence_share)
    np.testing.assert_array_equal(fitted.combine(members).valence, expected.valence)
    assert 0 < fitted.member_valence_share < 1 and 0 < fitted.valence_share <= 1


def test_it_is_kept_number_for_number_and_older_records_are_read() -> None:
    truth, valence = world()
    members = {name: model(truth, valence, seed, 0.3, 1.0) for seed, name in enumerate("ab")}
    fitted = fit_ensemble(members, truth, CONFIG, ValenceLabels(valence, MEANS))
    record = json.loads(json.dumps(fitted.to_json()))
    again = Ensemble.from_json(record)
    assert again == fitted
    np.testing.assert_array_equal(again.combine(members).valence, fitted.combine(members).valence)
    for name in ("class_valence", "member_valence_share", "valence_share"):
        del record[name]
    before = Ensemble.from_json(record)
    raw = fit_ensemble(members, truth, CONFIG)
    assert before == raw
    np.testing.assert_array_equal(before.combine(members).valence, raw.combine(members).valence)


def test_without_any_valence_nothing_is_fitted() -> None:
    truth, valence = world()
    members = {name: model(truth, valence, seed, 0.3, 1.0) for seed, name in enumerate("ab")}
    nothing = ValenceLabels(np.full(CLIPS, np.nan), np.zeros(3))
    assert fit_ensemble(members, truth, CONFIG, nothing) == fit_ensemble(members, truth, CONFIG)
