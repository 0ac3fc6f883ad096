from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    mean_squared_error,
    recall_score,
)

from mer.errors import ConfigError
from mer.evaluation import metrics


def drawn(seed: int, count: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    prior = rng.dirichlet(np.ones(classes))
    truth = rng.choice(classes, size=count, p=prior)
    predicted = np.where(rng.random(count) < 0.6, truth, rng.choice(classes, size=count, p=prior[::-1]))
    return truth, predicted


@pytest.mark.parametrize(
    ("seed", "count", "classes"), [(0, 500, 6), (1, 40, 8), (2, 5, 6), (3, 1, 3), (4, 300, 2)]
)
def test_scores_are_those_of_scikit_learn(seed: int, count: int, classes: int) -> None:
    truth, predicted = drawn(seed, count, classes)
    counts = metrics.confusion(truth, predicted, classes)
    seen = np.unique(truth)
    assert metrics.accuracy(counts) == pytest.approx(accuracy_score(truth, predicted))
    assert metrics.waf(counts) == pytest.approx(f1_score(truth, predicted, average="weighted"))
    assert metrics.macro_f1(counts) == pytest.approx(f1_score(truth, predicted, average="macro"))
    recalls = recall_score(truth, predicted, average=None, labels=range(classes), zero_division=0)
    np.testing.assert_allclose(metrics.per_class_recall(counts), recalls)
    assert metrics.unweighted_recall(counts) == pytest.approx(recalls[seen].mean())
    if set(predicted) <= set(truth) and len(seen) > 1:
        assert metrics.unweighted_recall(counts) == pytest.approx(balanced_accuracy_score(truth, predicted))


def test_scores_broadcast_over_leading_axes() -> None:
    counts = np.stack([metrics.confusion(*drawn(seed, 60, 4), 4) for seed in range(6)]).reshape(2, 3, 4, 4)
    for score in (metrics.waf, metrics.accuracy, metrics.macro_f1, metrics.unweighted_recall):
        whole = score(counts)
        assert whole.shape == (2, 3)
        assert whole[1, 2] == pytest.approx(float(score(counts[1, 2])))


def test_valence_and_the_combined_score() -> None:
    truth = np.array([1.0, -2.0, np.nan, 3.0], dtype=np.float32)
    predicted = np.array([0.5, -1.0, 9.0, np.nan], dtype=np.float32)
    error = metrics.valence_mse(truth, predicted)
    assert error == pytest.approx(mean_squared_error(truth[:2], predicted[:2]))
    assert metrics.combined_score(0.7, error) == pytest.approx(0.7 - 0.25 * error)
    assert np.isnan(metrics.combined_score(0.7, metrics.valence_mse(truth[2:3], predicted[2:3])))


def test_chance_is_the_better_blind_guess() -> None:
    assert metrics.chance_waf(np.full(8, 10.0)) == pytest.approx(1 / 8)
    truth = np.repeat([0, 1], [90, 10])
    blind = f1_score(truth, np.zeros(100, dtype=int), average="weighted", zero_division=0)
    assert metrics.chance_waf(np.array([90.0, 10.0])) == pytest.approx(blind)


def test_unlabelled_clips_and_empty_sets_are_refused() -> None:
    with pytest.raises(ConfigError, match="found -1 to 1"):
        metrics.confusion(np.array([0, -1]), np.array([0, 1]), 2)
    with pytest.raises(ConfigError, match="found 0, 0"):
        metrics.confusion(np.array([], dtype=np.int64), np.array([], dtype=np.int64), 2)
