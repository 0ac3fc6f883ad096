from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mer.errors import ConfigError
from mer.training.folds import assign_folds, inner_validation


def corpus(
    speakers: int, clips_each: int, classes: int, seed: int = 0
) -> tuple[list[str], list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    who = [f"s{i % speakers:02d}" for i in range(speakers * clips_each)]
    prior = rng.dirichlet(np.full(classes, 3.0))
    return who, [f"clip{i}" for i in range(len(who))], rng.choice(classes, size=len(who), p=prior)


@given(st.integers(2, 12), st.integers(1, 9), st.integers(2, 6), st.integers(0, 99))
def test_no_speaker_is_in_two_folds_and_none_is_empty(
    speakers: int, each: int, folds: int, seed: int
) -> None:
    who, ids, labels = corpus(speakers, each, 4, seed)
    assigned = assign_folds(who, ids, labels, folds, seed)
    assert all(len({assigned[i] for i in range(len(who)) if who[i] == name}) == 1 for name in set(who))
    assert set(assigned) == set(range(min(folds, speakers)))


def test_sizes_and_classes_are_even() -> None:
    who, ids, labels = corpus(40, 25, 6)
    assigned = assign_folds(who, ids, labels, 5, 1)
    sizes = np.bincount(assigned)
    assert sizes.max() - sizes.min() <= 50  # two speakers
    whole = np.bincount(labels, minlength=6) / len(labels)
    for fold in range(5):
        part = np.bincount(labels[assigned == fold], minlength=6) / sizes[fold]
        assert np.abs(part - whole).max() < 0.04


def test_the_order_of_rows_does_not_matter_but_the_seed_does() -> None:
    who, ids, labels = corpus(20, 10, 4)
    first = assign_folds(who, ids, labels, 5, 3)
    order = np.random.default_rng(1).permutation(len(ids))
    again = assign_folds([who[i] for i in order], [ids[i] for i in order], labels[order], 5, 3)
    assert np.array_equal(first[order], again)
    assert not np.array_equal(first, assign_folds(who, ids, labels, 5, 4))


def test_unknown_speakers_are_dealt_by_clip_and_stratified() -> None:
    labels = np.repeat([0, 1, 2], [50, 30, 5])
    assigned = assign_folds([None] * 85, [f"c{i}" for i in range(85)], labels, 5, 0)
    for name, count in ((0, 10), (1, 6), (2, 1)):
        assert np.bincount(assigned[labels == name], minlength=5).tolist() == [count] * 5


def test_one_speaker_falls_back_to_clips() -> None:
    labels = np.arange(20) % 2
    assigned = assign_folds(["only"] * 20, [f"c{i}" for i in range(20)], labels, 4, 0)
    assert np.bincount(assigned).tolist() == [5, 5, 5, 5]


def test_validation_is_whole_speakers_of_the_training_clips() -> None:
    who, ids, labels = corpus(19, 12, 4)
    train = np.array([name != "s03" for name in who])
    held = inner_validation(who, ids, labels, train, 0.2, 5)
    assert not (held & ~train).any()
    validation = {who[i] for i in np.flatnonzero(held)}
    assert validation.isdisjoint({who[i] for i in np.flatnonzero(train & ~held)})
    assert 0.15 < held.sum() / train.sum() < 0.25


def test_too_few_clips_give_no_validation() -> None:
    held = inner_validation(
        ["a", "b", "c"], ["1", "2", "3"], np.zeros(3, dtype=np.int64), np.ones(3, bool), 0.2, 0
    )
    assert not held.any()


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 2 folds"):
        assign_folds(["a", "b"], ["1", "2"], np.zeros(2, dtype=np.int64), 1, 0)
    with pytest.raises(ConfigError, match="expected 2 of each"):
        assign_folds(["a"], ["1", "2"], np.zeros(2, dtype=np.int64), 2, 0)
    with pytest.raises(ConfigError, match="validation share"):
        inner_validation(["a", "b"], ["1", "2"], np.zeros(2, dtype=np.int64), np.ones(2, bool), 0.7, 0)
