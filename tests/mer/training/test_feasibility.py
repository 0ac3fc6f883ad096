"""What is said of the labels before anything is trained."""

from __future__ import annotations

import re

import pytest

from mer.training.feasibility import Feasibility, fold_problem, missing_in_folds, training_feasibility

CLASSES = ("angry", "happy", "sad", "neutral", "worried")


def judged(
    counts: dict[str, int], unlabelled: int = 0, speakers: list[str | None] | None = None
) -> Feasibility:
    labels: list[str | None] = [emotion for emotion, count in counts.items() for _ in range(count)]
    labels += [None] * unlabelled
    who = speakers or [f"s{row % 4}" for row in range(len(labels))]
    return training_feasibility(labels, who[: len(labels)], CLASSES, least_compared=20)


@pytest.mark.parametrize(
    ("counts", "unlabelled", "said"),
    [
        ({}, 12, "training needs labels: .* found none among 12 training clips"),
        ({"happy": 30}, 0, "at least two emotions, found 30 clips of happy alone"),
        ({"happy": 1, "sad": 1, "angry": 1, "neutral": 1, "worried": 1}, 0, "too few .* found 5 .*happy 1"),
        ({"happy": 2, "sad": 2}, 3, "too few .* at least 6, .* found 4"),
        ({"happy": 9, "sad": 1}, 0, "2 each of at least two emotions, found 10 .*happy 9, sad 1"),
    ],
    ids=["no label", "one class", "5 clips of 5 classes", "4 clips", "a class of one clip"],
)
def test_what_cannot_be_trained_is_said_in_one_line(
    counts: dict[str, int], unlabelled: int, said: str
) -> None:
    problem = judged(counts, unlabelled).problem
    assert problem is not None and "\n" not in problem
    assert re.search(said, problem), problem
    assert "label" in problem


@pytest.mark.parametrize(
    ("counts", "speakers", "said"),
    [
        ({"happy": 6, "sad": 6}, None, "12 labelled clips are too few for a champion, .* at least 20"),
        ({"happy": 12, "sad": 12, "angry": 1}, None, r"too few clips to learn and to score \(angry 1\)"),
        ({"happy": 12, "sad": 12}, [None] * 24, "no speaker is known: folds are dealt by clip"),
        ({"happy": 12, "sad": 12}, ["a"] * 24, "all clips are of one speaker"),
        ({"happy": 12, "sad": 12}, ["a", "b", "c", None] * 6, "6 of 24 labelled clips have no speaker"),
    ],
    ids=["too few for the gate", "a rare class", "no speakers", "one speaker", "some speakers"],
)
def test_what_to_know_before_training(
    counts: dict[str, int], speakers: list[str | None] | None, said: str
) -> None:
    found = judged(counts, speakers=speakers)
    assert found.problem is None
    assert len(found.remarks) == 1 and re.search(said, found.remarks[0]), found.remarks


def test_a_corpus_with_enough_of_all_gets_no_remark() -> None:
    assert judged({"happy": 12, "sad": 12}).remarks == ()


def test_speakers_of_one_emotion_each_leave_nothing_to_learn_from() -> None:
    labels = ["happy", "happy", "sad", "sad"]
    assert fold_problem([0, 1, 0, 1], labels) is None
    assert "without those of fold 0 only sad clips are left" in str(fold_problem([0, 0, 1, 1], labels))


def test_folds_without_a_class_say_so() -> None:
    labels = ["happy", "sad", "happy", "sad", "angry", "happy"]
    lines = missing_in_folds([0, 0, 1, 1, 1, 2], labels, CLASSES)
    assert lines == (
        "fold 0 has no clip of angry to score",
        "fold 1: all clips of angry are in it, none is left to learn from",
        "fold 2 has no clip of angry, sad to score",
    )
    assert missing_in_folds([0, 0, 1, 1], ["happy", "sad"] * 2, CLASSES) == ()
