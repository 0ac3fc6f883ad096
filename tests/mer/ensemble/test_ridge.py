"""Ridge regression in a kernel's space: groups left out in closed form against fits without them; landmarks; weights."""

from __future__ import annotations

import numpy as np
import pytest

from mer.ensemble.landmarks import landmark_ridge
from mer.ensemble.logistic import HIDDEN, fit_logistic
from mer.ensemble.ridge import BIAS, leave_groups_out, solve_ridge
from mer.errors import ConfigError

ROWS, TARGETS = 60, 3


def made(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Kernel, targets, weights and groups of unequal size."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(ROWS, 5))
    kernel = np.exp(-0.2 * np.square(points[:, None] - points).sum(axis=2))
    group = rng.integers(0, 4, ROWS) ** 2
    return kernel, rng.normal(size=(ROWS, TARGETS)), rng.uniform(0.2, 3, ROWS), group


def test_left_out_groups_are_answered_as_by_fits_without_them() -> None:
    kernel, target, weight, group = made()
    found = leave_groups_out(kernel, target, weight, 0.1, group)
    np.testing.assert_allclose(found.dual, solve_ridge(kernel, target, weight, 0.1), atol=1e-9)
    for number in np.unique(group):
        held, rest = np.flatnonzero(group == number), np.flatnonzero(group != number)
        dual = solve_ridge(kernel[np.ix_(rest, rest)], target[rest], weight[rest], 0.1)
        np.testing.assert_allclose(found.answers[held], (kernel[np.ix_(held, rest)] + BIAS) @ dual, atol=1e-9)


def test_a_clip_of_weight_two_is_the_clip_twice() -> None:
    kernel, target, _, _ = made()
    twice = np.concatenate([np.arange(ROWS), [7]])
    weight = np.ones(ROWS)
    weight[7] = 2
    one = solve_ridge(kernel, target, weight, 0.3)
    two = solve_ridge(kernel[np.ix_(twice, twice)], target[twice], np.ones(ROWS + 1), 0.3)
    np.testing.assert_allclose((kernel + BIAS) @ one, (kernel[:, twice] + BIAS) @ two, atol=1e-9)


def test_all_clips_as_landmarks_are_the_exact_solution() -> None:
    kernel, target, weight, group = made()
    exact = leave_groups_out(kernel, target, weight, 0.1, group)
    found = landmark_ridge(kernel, np.arange(ROWS), target, weight, 0.1, group)
    np.testing.assert_allclose((kernel + BIAS) @ found.dual, (kernel + BIAS) @ exact.dual, atol=2e-3)
    np.testing.assert_allclose(found.answers, exact.answers, atol=2e-3)


def test_landmarks_leave_groups_out_as_fits_without_them_do() -> None:
    kernel, target, weight, group = made()
    marks = np.arange(0, ROWS, 3)
    found = landmark_ridge(kernel[:, marks], marks, target, weight, 0.1, group)
    rest = np.flatnonzero(group != 4)
    # a weight of next to nothing is a clip that is not there, but still a landmark
    faint = np.where(group == 4, 1e-12, weight)
    refit = landmark_ridge(kernel[:, marks], marks, target, faint, 0.1, np.zeros(ROWS, dtype=int))
    held = (kernel[:, marks] + BIAS) @ refit.dual
    np.testing.assert_allclose(found.answers[group == 4], held[group == 4], atol=1e-6)
    assert len(rest) < ROWS


@pytest.mark.parametrize("width", [4, 200])
def test_logistic_regression_takes_soft_targets_and_weights(width: int) -> None:
    """Also in the span of the clips, where there are more features than clips."""
    rng = np.random.default_rng(1)
    features = rng.normal(size=(40, width))
    labels = np.arange(40) % 3
    hard, weight = np.eye(3)[labels], np.ones(40)
    weight[3] = 2
    one = fit_logistic(features, hard, weight, 0.1)
    twice = np.concatenate([np.arange(40), [3]])
    two = fit_logistic(features[twice], hard[twice], np.ones(41), 0.1)
    np.testing.assert_allclose(one.scores(features), two.scores(features), atol=5e-3)
    soft = hard.copy()
    soft[labels == 0] = [0.2, 0.8, 0.0]
    moved = fit_logistic(features, soft, np.ones(40), 1.0).scores(features)[labels == 0]
    assert (moved[:, 1] > moved[:, 0]).mean() > 0.9


def test_a_single_class_is_answered_as_that_class() -> None:
    model = fit_logistic(np.random.default_rng(0).normal(size=(5, 2)), np.eye(3)[[1] * 5], np.ones(5), 1.0)
    scores = model.scores(np.zeros((2, 2)))
    np.testing.assert_allclose(scores, [[HIDDEN, 0, HIDDEN]] * 2, atol=1e-9)


def test_a_penalty_lost_in_single_precision_is_kept_in_double_and_else_said() -> None:
    rows = np.tile(np.random.default_rng(3).normal(size=(20, 2)), (10, 1))
    kernel = np.exp(-0.5 * np.square(rows[:, None] - rows[None]).sum(axis=2))
    target, weight, group = rows[:, :1], np.ones(len(rows)), np.arange(len(rows)) % 20
    single = leave_groups_out(kernel.astype(np.float32), target, weight, 1e-9, group)
    assert np.isfinite(single.answers).all() and single.dual.dtype == np.float64
    with pytest.raises(ConfigError, match="expected a penalty that rounding does not swallow, found 1e-20"):
        leave_groups_out(kernel.astype(np.float32), target, weight, 1e-20, group)
