"""Outer folds: a group's fold depends on nothing but itself; groups are components of speakers and contents."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mer.errors import ConfigError
from mer.training.fold_groups import fold_groups
from mer.training.folds import assign_folds, inner_validation, outer_folds, uneven_folds

Clips = tuple[list[str | None], list[str], list[str]]


@st.composite
def corpora(draw: st.DrawFn) -> Clips:
    rows = draw(
        st.lists(
            st.tuples(
                st.sampled_from([None, *(f"s{i}" for i in range(9))]),
                st.sampled_from(["", "", *(f"x{i}" for i in range(20))]),
            ),
            min_size=2,
            max_size=30,
        )
    )
    return [who for who, _ in rows], [f"c{i}" for i in range(len(rows))], [content for _, content in rows]


@given(corpora())
def test_groups_are_the_components_of_speakers_and_contents(clips: Clips) -> None:
    speakers, ids, contents = clips
    linked = np.eye(len(ids), dtype=bool)
    for i in range(len(ids)):
        for j in range(len(ids)):
            same_speaker = speakers[i] is not None and speakers[i] == speakers[j]
            linked[i, j] |= same_speaker or (contents[i] != "" and contents[i] == contents[j])
    for _ in ids:  # transitive closure
        linked = linked @ linked
    groups = fold_groups(speakers, ids, contents)
    if linked.all():  # one component: contents alone
        assert groups == [f"content:{c}" if c else f"clip:{i}" for i, c in zip(ids, contents, strict=True)]
        return
    for i in range(len(ids)):
        assert [groups[j] == groups[i] for j in range(len(ids))] == linked[i].tolist()
        who = sorted(s for j in np.flatnonzero(linked[i]) if (s := speakers[j]) is not None)
        assert not who or groups[i] == f"speaker:{who[0]}"


@given(corpora(), st.integers(2, 6), st.integers(0, 50))
def test_no_group_is_cut_no_fold_is_empty_and_the_order_does_not_matter(
    clips: Clips, folds: int, seed: int
) -> None:
    speakers, ids, contents = clips
    fold = outer_folds(speakers, ids, folds, seed, contents)
    groups = fold_groups(speakers, ids, contents)
    assert len(set(zip(groups, fold.tolist(), strict=True))) == len(set(groups))
    assert set(fold.tolist()) == set(range(min(folds, len(set(groups)))))
    order = np.random.default_rng(seed).permutation(len(ids))
    again = outer_folds(
        [speakers[i] for i in order], [ids[i] for i in order], folds, seed, [contents[i] for i in order]
    )
    assert np.array_equal(fold[order], again)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 200))
def test_folds_stay_when_any_speaker_leaves(seed: int) -> None:
    speakers = [f"s{i % 40:02d}" for i in range(120)]
    ids = [f"c{i}" for i in range(120)]
    contents = [f"x{i}" for i in range(120)]
    contents[7] = contents[21]  # s07 and s21 share a file
    whole = outer_folds(speakers, ids, 5, seed, contents)
    assert whole[7] == whole[21]
    groups = {who: fold for who, fold in zip(speakers, whole.tolist(), strict=True) if who != "s21"}
    assume(
        min(Counter(groups.values()).values()) > 1
    )  # a fold's only group leaves it empty: another one has to move
    for gone in sorted(set(speakers) - {"s07"}):
        keep = [i for i, who in enumerate(speakers) if who != gone]
        left = outer_folds(
            [speakers[i] for i in keep], [ids[i] for i in keep], 5, seed, [contents[i] for i in keep]
        )
        if gone == "s21":  # a group stays without those that are not its first
            assert left[keep.index(7)] == whole[7]
        assert np.array_equal(left, whole[keep]), gone


def test_the_seed_and_nothing_of_the_labels_decides() -> None:
    speakers, ids = [f"s{i}" for i in range(60)], [f"c{i}" for i in range(60)]
    assert not np.array_equal(outer_folds(speakers, ids, 5, 1), outer_folds(speakers, ids, 5, 2))


@pytest.mark.parametrize("folds", [2, 3, 5, 8])
def test_few_groups_fill_every_fold_with_as_few_moves_as_there_are_empty_folds(folds: int) -> None:
    speakers = [f"s{i}" for i in range(9)]
    many = [*speakers, *(f"more{i}" for i in range(3000))]  # by the hash alone: no fold is empty there
    repaired = 0
    for seed in range(60):
        few = outer_folds(speakers, speakers, folds, seed)
        plain = outer_folds(many, many, folds, seed)[: len(speakers)]
        moved = few != plain
        assert moved.sum() == folds - len(set(plain.tolist()))
        assert set(few.tolist()) == set(range(folds))
        repaired += int(moved.any())
    assert repaired or folds == 2


def test_unknown_speakers_are_dealt_by_content() -> None:
    ids = [f"c{i}" for i in range(400)]
    contents = [f"x{i // 2}" for i in range(400)]
    fold = outer_folds([None] * 400, ids, 4, 3, contents)
    assert np.array_equal(fold[::2], fold[1::2])
    assert np.bincount(fold).min() > 60


def test_a_renamed_clip_of_known_content_keeps_its_fold() -> None:
    contents = [f"x{i}" for i in range(50)]
    first = outer_folds([None] * 50, [f"a{i}" for i in range(50)], 5, 1, contents)
    assert np.array_equal(first, outer_folds([None] * 50, [f"b{i}" for i in range(50)], 5, 1, contents))


def test_balanced_folds_and_validation_keep_equal_contents_together() -> None:
    generator = np.random.default_rng(4)
    speakers: list[str | None] = [f"s{i}" for i in generator.integers(0, 30, 240)]
    ids = [f"c{i}" for i in range(240)]
    contents = [f"x{i}" for i in range(240)]
    for one, other in ((0, 100), (3, 200), (5, 150)):
        contents[one] = contents[other]
    labels = generator.integers(0, 4, 240)
    fold = assign_folds(speakers, ids, labels, 5, 2, contents)
    held = inner_validation(speakers, ids, labels, np.ones(240, bool), 0.2, 2, contents)
    for one, other in ((0, 100), (3, 200), (5, 150)):
        assert fold[one] == fold[other] and held[one] == held[other]
    assert 0.1 < held.mean() < 0.3


def test_clips_of_one_content_are_not_validated_on_each_other() -> None:
    held = inner_validation(
        ["a", "b", "c", "d", "e"], list("12345"), np.zeros(5, np.int64), np.ones(5, bool), 0.2, 1, ["x"] * 5
    )
    assert not held.any()


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 2 folds"):
        outer_folds(["a", "b"], ["1", "2"], 1, 0)
    with pytest.raises(ConfigError, match="expected 2 of each, found 2 speakers, 1 contents"):
        outer_folds(["a", "b"], ["1", "2"], 2, 0, ["x"])


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ([20, 20, 20, 20, 20], False),
        ([16, 15, 15, 39, 15], False),
        ([15, 15, 14, 41, 15], True),
        ([62, 38], False),
        ([63, 37], True),
    ],
)
def test_folds_that_leave_little_to_train_on_are_told(sizes: list[int], told: bool) -> None:
    fold = np.concatenate([[-1, -1], np.repeat(np.arange(len(sizes)), sizes)])
    line = uneven_folds(fold)
    assert (line is not None) is told
    if line is not None:
        assert f"{max(sizes)}%" in line and "folds.seed" in line
