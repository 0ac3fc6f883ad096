"""How much each member counts: the weights by which the combination mixes, clip by clip."""

from __future__ import annotations

import numpy as np
import pytest

from mer.ensemble.config import Weighting
from mer.ensemble.ensemble import Ensemble
from mer.posteriors import Posteriors

CLIPS = 40


def member(seed: int) -> Posteriors:
    generator = np.random.default_rng(seed)
    logits = (2 * generator.normal(size=(CLIPS, 3))).astype(np.float32)
    return Posteriors(tuple(f"c{i}" for i in range(CLIPS)), logits, np.zeros(CLIPS, np.float32))


POSTERIORS = {name: member(seed) for seed, name in enumerate("abc")}


@pytest.mark.parametrize("weighting", ["uniform", "entropy", "stacked"])
def test_they_are_what_the_combination_mixes_by(weighting: Weighting) -> None:
    counted = ("a", "c") if weighting == "stacked" else ("a", "c", "a")
    ensemble = Ensemble(
        weighting,
        counted,
        {"a": 1.7, "c": 0.6},
        (0.3, 0.7) if weighting == "stacked" else (),
        temperature=1.0,
    )
    weights = ensemble.member_weights(POSTERIORS)
    assert list(weights) == ["a", "c"]
    np.testing.assert_allclose(sum(weights.values()), np.ones(CLIPS))
    mixed = sum(
        weights[name][:, None] * POSTERIORS[name].probabilities(ensemble.temperatures[name])
        for name in weights
    )
    np.testing.assert_allclose(ensemble.combine(POSTERIORS).probabilities(), mixed, atol=1e-6)


def test_of_a_product_all_count_alike() -> None:
    ensemble = Ensemble("log_pool", ("a", "b", "b", "c"), dict.fromkeys("abc", 1.0), ())
    weights = ensemble.member_weights(POSTERIORS)
    assert {name: float(weight[0]) for name, weight in weights.items()} == {"a": 0.25, "b": 0.5, "c": 0.25}
