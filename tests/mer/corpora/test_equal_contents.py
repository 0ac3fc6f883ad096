"""Equal contents: contradicting labels count for nothing, tested contents are not trained on, whatever the order of rows."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mer.clips import Split
from mer.corpora.equal_contents import EVALUATED, SampleFacts, resolve_equal
from mer.errors import CorpusError


def facts(
    name: str, content: str, emotion: str | None = None, valence: float | None = None, split: str = "train"
) -> SampleFacts:
    return SampleFacts(name=name, content=content, emotion=emotion, valence=valence, split=Split(split))


@st.composite
def corpora(draw: st.DrawFn) -> list[SampleFacts]:
    rows = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["", "x", "y", "z"]),
                st.sampled_from([None, "happy", "sad"]),
                st.sampled_from([None, float("nan"), -1.0, 2.5]),
                st.sampled_from(list(Split)),
            ),
            max_size=12,
        )
    )
    return [facts(f"n{i:02d}", *row[:3], split=row[3]) for i, row in enumerate(rows)]


@given(corpora(), st.integers(0, 1000))
def test_the_order_of_rows_does_not_matter(rows: list[SampleFacts], seed: int) -> None:
    shuffled = random.Random(seed).sample(rows, len(rows))
    first, again = resolve_equal(rows), resolve_equal(shuffled)
    assert first.lines() == again.lines()
    assert (first.unlabelled, first.not_trained) == (again.unlabelled, again.not_trained)


@given(corpora())
def test_what_is_left_contradicts_nothing_and_leaks_nothing(rows: list[SampleFacts]) -> None:
    found = resolve_equal(rows)
    learnt = [row for row in rows if row.labelled and row.name not in found.unlabelled]
    for content in {row.content for row in learnt} - {""}:
        same = [row for row in learnt if row.content == content]
        assert len({row.emotion for row in same} - {None}) <= 1
        assert (
            len({row.valence for row in same if row.valence is not None and row.valence == row.valence}) <= 1
        )
    trained = {
        row.content for row in learnt if row.split is Split.TRAIN and row.name not in found.not_trained
    }
    assert not (trained - {""}) & {row.content for row in rows if row.split in EVALUATED}


@given(corpora())
def test_nothing_is_taken_away_without_cause(rows: list[SampleFacts]) -> None:
    found = resolve_equal(rows)
    by_name = {row.name: row for row in rows}
    for name in found.unlabelled | found.not_trained:
        equals = [row for row in rows if row.content == by_name[name].content and row.name != name]
        assert by_name[name].labelled and by_name[name].content and equals
        assert (name in found.unlabelled) <= any(row.labelled for row in equals)
        assert (name in found.not_trained) <= any(row.split in EVALUATED for row in equals)
    assert all(by_name[name].split is Split.TRAIN for name in found.not_trained)
    listed = "\n".join(found.lines(most=len(rows)))
    assert all(name in listed for name in found.unlabelled | found.not_trained)


def test_a_conflict_lists_all_of_its_content_with_their_labels() -> None:
    found = resolve_equal(
        [
            facts("b", "x", "sad", 1.5),
            facts("a", "x", "happy"),
            facts("c", "x", split="unlabelled"),
            facts("d", "y", "sad"),
        ]
    )
    assert found.unlabelled == {"a", "b"} and not found.not_trained and found.shared == 3
    assert found.lines()[1] == "  a (happy, train), b (sad, valence 1.5, train), c (no label, unlabelled)"


@pytest.mark.parametrize(
    ("one", "other"),
    [((None, 1.0), (None, 2.0)), (("sad", 1.0), ("sad", 2.0)), (("sad", None), ("fear", None))],
)
def test_either_label_may_contradict(
    one: tuple[str | None, float | None], other: tuple[str | None, float | None]
) -> None:
    assert resolve_equal([facts("a", "x", *one), facts("b", "x", *other)]).unlabelled == {"a", "b"}


@pytest.mark.parametrize(
    ("one", "other"),
    [(("sad", 1.0), ("sad", 1.0)), (("sad", None), (None, 2.0)), (("sad", 1.0), (None, None))],
)
def test_labels_that_complete_each_other_do_not_contradict(
    one: tuple[str | None, float | None], other: tuple[str | None, float | None]
) -> None:
    found = resolve_equal([facts("a", "x", *one), facts("b", "x", *other)])
    assert not found.unlabelled and found.lines() == []


@pytest.mark.parametrize(
    ("split", "leaves"), [("test", True), ("canary", True), ("unlabelled", False), ("train", False)]
)
def test_training_gives_way_to_what_is_evaluated(split: str, leaves: bool) -> None:
    rows = [facts("a", "x", "sad"), facts("b", "x", None if split == "unlabelled" else "sad", split=split)]
    found = resolve_equal(rows)
    assert found.not_trained == ({"a"} if leaves else set())
    assert not found.unlabelled
    if leaves:
        assert found.lines()[1] == f"  a (sad, train) = b (sad, {split})"


def test_a_leak_whose_labels_contradict_is_both() -> None:
    found = resolve_equal([facts("a", "x", "sad"), facts("b", "x", "happy", split="test")])
    assert found.unlabelled == {"a", "b"} and found.not_trained == {"a"}


def test_long_lists_are_cut_and_say_so() -> None:
    rows = [facts(f"{i}{side}", f"c{i}", side) for i in range(30) for side in ("sad", "happy")]
    lines = resolve_equal(rows).lines(most=5)
    assert len(lines) == 7 and lines[-1] == "  and 25 more groups"


def test_a_name_counts_once() -> None:
    with pytest.raises(CorpusError, match="'a' twice"):
        resolve_equal([facts("a", "x"), facts("a", "y")])
