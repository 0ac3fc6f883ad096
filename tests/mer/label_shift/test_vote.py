"""The prior-weighted vote is its formula."""

from __future__ import annotations

import numpy as np
import pytest
from scored_clips import SHIFTED, TRAINING, drawn

from mer.errors import ConfigError
from mer.label_shift.vote import pooled, prior_weighted_vote


def test_the_vote_is_its_formula() -> None:
    models = [drawn(TRAINING, 50, seed)[0] for seed in range(3)]
    found = prior_weighted_vote(models, TRAINING, SHIFTED)
    for row in range(50):
        score = [sum(model[row, c] for model in models) + np.log(SHIFTED[c] / TRAINING[c]) for c in range(6)]
        share = np.exp(score) / np.exp(score).sum()
        np.testing.assert_allclose(np.exp(found[row]), share, atol=1e-12)


def test_one_model_under_its_own_priors_is_itself() -> None:
    model, _ = drawn(TRAINING, 50, 0)
    np.testing.assert_allclose(prior_weighted_vote([model], TRAINING, TRAINING), model, atol=1e-12)


def test_exact_posteriors_become_exact_under_the_other_priors() -> None:
    model, truth = drawn(SHIFTED, 40_000, 0)
    corrected = np.exp(prior_weighted_vote([model], TRAINING, SHIFTED))
    np.testing.assert_allclose(corrected.mean(axis=0), np.bincount(truth) / 40_000, atol=0.005)
    assert (corrected.argmax(axis=1) == truth).mean() > (model.argmax(axis=1) == truth).mean()


def test_a_class_of_no_prior_is_never_answered() -> None:
    none = np.array([0.5, 0.5, 0.0, 0.0, 0.0, 0.0])
    answers = prior_weighted_vote([drawn(TRAINING, 500, 0)[0]], TRAINING, none).argmax(axis=1)
    assert set(answers.tolist()) == {0, 1}


def test_what_cannot_vote_is_refused() -> None:
    model, _ = drawn(TRAINING, 5, 0)
    with pytest.raises(ConfigError, match="one shape"):
        pooled([model, model[:3]])
    with pytest.raises(ConfigError, match="one model"):
        pooled([])
    for training, target in ((TRAINING, TRAINING * 2), (np.eye(6)[0], TRAINING)):
        with pytest.raises(ConfigError, match="expected training priors"):
            prior_weighted_vote([model], training, target)
