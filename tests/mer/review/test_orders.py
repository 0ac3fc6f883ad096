"""Orders of the review queue, and confident learning."""

from __future__ import annotations

import numpy as np
import pytest

from mer.errors import ConfigError
from mer.review.label_errors import find_label_errors
from mer.review.orders import entropy, expected_change, margin, ranked, shuffled

EVEN, SURE, TWO = [1 / 3, 1 / 3, 1 / 3], [0.98, 0.01, 0.01], [0.5, 0.5, 0.0]
P = np.array([EVEN, SURE, TWO])


def test_entropy_and_margin() -> None:
    assert entropy(P) == pytest.approx([np.log(3), 0.1119, np.log(2)], abs=1e-3)
    assert margin(P) == pytest.approx([0, 0.97, 0])
    assert ranked(("a", "b", "c"), entropy(P)).tolist() == [0, 2, 1]
    assert ranked(("b", "a"), np.zeros(2)).tolist() == [1, 0], "equal scores by name"
    with pytest.raises(ConfigError):
        margin(np.ones((2, 1)))


def test_expected_change_is_what_an_answer_changes() -> None:
    none = np.full(3, -1)
    plain = expected_change(P, none, np.ones(3))
    # by hand: sum over c of p(c) |p - e(c)|
    by_hand = [
        sum(p[c] * np.linalg.norm(np.array(p) - np.eye(3)[c]) for c in range(3)) for p in (EVEN, SURE, TWO)
    ]
    assert plain == pytest.approx(by_hand)
    right = expected_change(P, np.zeros(3, np.int64), np.ones(3))
    wrong = expected_change(P, np.full(3, 2), np.ones(3))
    assert right[1] < 0.05 < plain[1] < wrong[1], "sure and learnt rightly: nothing to gain; wrongly: most"
    assert expected_change(P, np.full(3, 2), np.full(3, 0.1))[1] < wrong[1], (
        "a light pseudo-label matters less"
    )
    assert expected_change(P, np.zeros(3, np.int64), np.zeros(3)) == pytest.approx(plain)


def test_a_shuffled_order_depends_on_names_alone() -> None:
    names = [f"clip{n}" for n in range(20)]
    first = [names[row] for row in shuffled(names, 3)]
    assert first == [names[::-1][row] for row in shuffled(names[::-1], 3)]
    assert first != names and sorted(first) == sorted(names)
    assert first != [names[row] for row in shuffled(names, 4)]


def planted(noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 4, 600)
    logits = rng.normal(0, 1, (600, 4)) + 5.0 * np.eye(4)[truth]
    shares = np.exp(logits)
    given = np.where(rng.random(600) < noise, (truth + rng.integers(1, 4, 600)) % 4, truth)
    return shares / shares.sum(axis=1, keepdims=True), given, truth


def test_planted_label_errors_are_found() -> None:
    shares, given, truth = planted(0.1)
    found = find_label_errors(shares, given)
    wrong = given != truth
    assert (found.likely_wrong & wrong).sum() > 0.8 * wrong.sum()
    assert (found.likely_wrong & wrong).sum() > 0.7 * found.likely_wrong.sum()
    assert (found.suggested[found.likely_wrong & wrong] == truth[found.likely_wrong & wrong]).mean() > 0.9
    assert found.joint.sum() <= 600 and found.joint.diagonal().sum() > found.joint.sum() / 2


def test_agrees_with_cleanlab() -> None:
    pytest.importorskip("cleanlab", reason="cleanlab, an extra (pip install cleanlab), is not installed")
    from cleanlab.count import compute_confident_joint

    shares, given, _ = planted(0.15)
    joint, wrong = compute_confident_joint(
        given, shares, calibrate=False, return_indices_of_off_diagonals=True
    )
    found = find_label_errors(shares, given)
    assert np.array_equal(found.joint, joint)
    assert sorted(np.flatnonzero(found.suggested != given).tolist()) == sorted(wrong)


def test_a_class_without_labels_and_wrong_input() -> None:
    found = find_label_errors(np.array([[0.6, 0.4, 0.0], [0.3, 0.7, 0.0]]), np.array([0, 0]))
    assert np.isnan(found.thresholds[1:]).all() and not found.likely_wrong.any()
    with pytest.raises(ConfigError, match="0 to 2"):
        find_label_errors(P, np.array([0, 1, 3]))
    with pytest.raises(ConfigError, match="clips, classes"):
        find_label_errors(P, np.array([0, 1]))
