"""Agreement, thresholds by precision, and what can never become a pseudo-label."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mer.errors import ConfigError
from mer.posteriors import Posteriors
from mer.selftraining.agreement import Vote, selected, thresholds_by_precision, vote
from mer.selftraining.config import AgreementConfig

CLASSES = 3


def voter(logits: np.ndarray, order: np.ndarray | None = None) -> Posteriors:
    names = np.array([f"c{i:03d}" for i in range(len(logits))])
    rows = np.arange(len(logits)) if order is None else order
    valence = np.full(len(logits), np.nan, dtype=np.float32)
    return Posteriors(tuple(names[rows].tolist()), logits[rows].astype(np.float32), valence)


def votes(emotion: list[int], confidence: list[float], agreeing: int = 2) -> Vote:
    count = len(emotion)
    names = tuple(f"c{i:03d}" for i in range(count))
    flat = np.full((count, CLASSES), 1 / CLASSES)
    return Vote(names, np.array(emotion), np.array(confidence), np.full(count, agreeing), flat, voters=3)


def test_votes_are_counted_for_the_leaders_class() -> None:
    leader = np.array([[3.0, 0, 0], [0, 2.0, 0], [0, 0, 1.0]])
    second = np.array([[1.0, 0, 0], [5.0, 0, 0], [0, 0, 1.0]])
    third = np.array([[0, 1.0, 0], [0, 1.0, 0], [0, 0, 4.0]])
    found = vote([voter(leader), voter(second, np.array([2, 0, 1])), voter(third)])
    assert found.emotion.tolist() == [0, 1, 2]
    assert found.agreeing.tolist() == [2, 2, 3]
    expected = np.exp(leader).max(axis=1) / np.exp(leader).sum(axis=1)
    np.testing.assert_allclose(found.confidence, expected, rtol=1e-6)
    np.testing.assert_allclose(found.probabilities.max(axis=1), expected, rtol=1e-6)
    cooler = vote([voter(leader), voter(second), voter(third)], temperature=2.0)
    assert (cooler.confidence < found.confidence).all() and (cooler.emotion == found.emotion).all()
    product = vote([voter(leader), voter(second), voter(third)], leading=-1)
    assert product.emotion.tolist() == (leader + second + third).argmax(axis=1).tolist()


def test_the_threshold_is_the_lowest_with_the_wanted_precision() -> None:
    held = votes([0] * 6 + [1] * 3, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.9, 0.9, 0.9])
    truth = np.array([0, 0, 0, 1, 0, 1, 1, 1, 2])
    config = AgreementConfig(precision=0.8, least_clips=3)
    # precision from the top: 1 1 1 .75 .8 .67; class 1 has three ties, of which two are right; class 2 no votes
    assert thresholds_by_precision(held, truth, CLASSES, config).tolist() == [0.5, np.inf, np.inf]
    loose = thresholds_by_precision(held, truth, CLASSES, AgreementConfig(precision=0.6, least_clips=3))
    assert loose.tolist() == [0.4, 0.9, np.inf]
    few = thresholds_by_precision(held, truth, CLASSES, AgreementConfig(precision=0.8, least_clips=6))
    assert np.isinf(few).all()
    lonely = votes([0] * 6, [0.9] * 6, agreeing=1)
    assert np.isinf(thresholds_by_precision(lonely, np.zeros(6, int), CLASSES, config)).all()


def test_thresholds_need_true_labels() -> None:
    with pytest.raises(ConfigError, match="true label"):
        thresholds_by_precision(votes([0, 1], [0.9, 0.9]), np.array([0, -1]), CLASSES, AgreementConfig())


def test_caps_take_the_most_confident() -> None:
    many = votes([0, 0, 0, 0, 1], [0.6, 0.9, 0.8, 0.7, 0.9])
    config = AgreementConfig(cap_ratio=2.0)
    rows = selected(many, np.full(CLASSES, 0.5), config, np.zeros(5, bool))
    assert rows.tolist() == [1, 2, 4]


def test_a_class_that_is_more_frequent_may_be_selected_more_often() -> None:
    many = votes([0, 0, 0, 0, 1], [0.6, 0.9, 0.8, 0.7, 0.9])
    config, everyone = AgreementConfig(cap_ratio=1.0), np.zeros(5, bool)
    shares = np.full(CLASSES, 0.2)
    assert selected(many, np.full(CLASSES, 0.5), config, everyone, shares=shares).tolist() == [1, 4]
    shares[0] = 0.6  # three times as many gold labels: three times as many pseudo-labels
    assert selected(many, np.full(CLASSES, 0.5), config, everyone, shares=shares).tolist() == [1, 2, 3, 4]
    shares[1] = 0.0  # a class without gold labels bounds nobody
    assert selected(many, np.full(CLASSES, 0.5), config, everyone, shares=shares).tolist() == [0, 1, 2, 3, 4]


def test_a_share_of_each_class_needs_no_threshold() -> None:
    many = votes([0, 0, 0, 0, 1, 1], [0.6, 0.9, 0.8, 0.7, 0.2, 0.1])
    config = AgreementConfig(share=0.5, cap_ratio=None)
    assert selected(many, np.full(CLASSES, np.inf), config, np.zeros(6, bool)).tolist() == [1, 2, 4]
    barred = np.array([False, True, False, False, False, False])
    assert selected(many, np.full(CLASSES, np.inf), config, barred).tolist() == [2, 3, 4]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_an_excluded_clip_is_never_selected_and_what_is_selected_is_trusted(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 40))
    draw = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    found = Vote(
        tuple(f"c{i:03d}" for i in range(count)),
        draw.integers(0, CLASSES, count),
        draw.choice([0.3, 0.5, 0.7, 0.9], count),
        draw.integers(1, 4, count),
        np.full((count, CLASSES), 1 / CLASSES),
        voters=3,
    )
    excluded = draw.random(count) < 0.5
    thresholds = draw.choice([0.0, 0.5, 0.8, np.inf], CLASSES)
    config = AgreementConfig(agreeing=2, cap_ratio=data.draw(st.sampled_from([None, 1.0, 2.0])))
    rows = selected(found, thresholds, config, excluded)
    assert not excluded[rows].any()
    assert (found.agreeing[rows] >= 2).all()
    assert (found.confidence[rows] >= thresholds[found.emotion[rows]]).all()
    counts = np.bincount(found.emotion[rows], minlength=CLASSES)
    if config.cap_ratio is not None and counts.any():
        assert counts.max() <= max(1, int(config.cap_ratio * counts[counts > 0].min()))
    shuffled = draw.permutation(count)
    again = Vote(
        tuple(found.clip_ids[i] for i in shuffled),
        found.emotion[shuffled],
        found.confidence[shuffled],
        found.agreeing[shuffled],
        found.probabilities[shuffled],
        voters=3,
    )
    names = {found.clip_ids[i] for i in rows}
    other = selected(again, thresholds, config, excluded[shuffled])
    assert {again.clip_ids[i] for i in other} == names  # the order of rows does not matter


def test_a_voter_without_its_stream_agrees_with_nobody() -> None:
    leader, prior = np.array([[3.0, 0, 0]] * 3), np.array([[0.3, 0, 0]] * 3)
    voters = [voter(leader), voter(prior, np.array([2, 0, 1])), voter(leader)]
    assert vote(voters).agreeing.tolist() == [3, 3, 3]
    found = vote(voters, absent=[set(), {"c000", "c002"}, {"c002"}])
    assert found.agreeing.tolist() == [2, 3, 1]
    assert found.agreed(AgreementConfig(agreeing=2)).tolist() == [True, True, False], (
        "nobody confirms the third one"
    )
    with pytest.raises(ConfigError, match="expected absent clips of 3 voters, found those of 1"):
        vote(voters, absent=[set()])
