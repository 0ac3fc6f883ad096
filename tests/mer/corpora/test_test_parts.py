"""Named parts of a test split (a challenge's test1, test2, test3) stay apart, whoever writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from corpus_layouts import mer2023_process, table, touch

from mer.clips import Split
from mer.corpora import recognise
from mer.corpora.account import account_of
from mer.emotions import MER_EMOTIONS
from mer.errors import QuarantineReason


def mer2023_release(root: Path) -> None:
    table(root, "train-label.csv", "name,discrete\na,angry\n")
    for number in (1, 2, 3):
        table(root, f"test{number}-label.csv", f"name,discrete\nt{number},sad\nopen{number},\n")
        touch(root, f"test{number}/t{number}.mp4", f"test{number}/open{number}.mp4")
    touch(root, "train/a.mp4")


def mer2025_release(root: Path) -> None:
    table(root, "track1_train_disdim.csv", "name,discrete\na,angry\n")
    table(root, "track1_test_dis.csv", "name,discrete\nt,sad\n")
    touch(root, "video/a.mp4", "video/t.mp4")


def plain_table(root: Path) -> None:
    rows = ("a,angry,train", "b,sad,test1", "c,sad,Test 2", "d,sad,test-3", "e,sad,TEST_04", "f,sad,test")
    table(root, "labels.csv", "name,emotion,split\n" + "\n".join(rows) + "\n")
    touch(root, *(f"{name}.mp4" for name in "abcdef"))


@pytest.mark.parametrize(
    ("corpus", "expected"),
    [
        (
            mer2023_process,
            {"sample_00000003": "test1", "sample_00000004": "test2", "sample_00000005": "test3"},
        ),
        (mer2023_release, {"t1": "test1", "t2": "test2", "t3": "test3"}),
        (mer2025_release, {"t": None}),
        (plain_table, {"b": "test1", "c": "test2", "d": "test3", "e": "test4", "f": None}),
    ],
    ids=["mertools npz", "mer2023 folders", "one test table", "plain table"],
)
def test_test_clips_know_their_part(
    tmp_path: Path, corpus: Callable[[Path], object], expected: dict[str, str | None]
) -> None:
    corpus(tmp_path)
    found = recognise(tmp_path, emotions=MER_EMOTIONS)
    assert {entry.name: entry.part for entry in found.entries if entry.split is Split.TEST} == expected
    assert all(entry.part is None for entry in found.entries if entry.split is not Split.TEST)


def test_the_account_counts_the_parts(tmp_path: Path) -> None:
    mer2023_process(tmp_path)
    account = account_of(recognise(tmp_path, emotions=MER_EMOTIONS))
    assert account.parts == {"test1": 1, "test2": 1, "test3": 1}
    assert "(2 train, 3 test: test1 1, test2 1, test3 1, 1 unlabelled)" in account.lines()[0]


@pytest.mark.parametrize("split", ["exam", "test1a", "1test", "test1234"])
def test_what_is_no_part_is_an_unknown_split(tmp_path: Path, split: str) -> None:
    table(tmp_path, "labels.csv", f"name,emotion,split\na,angry,{split}\n")
    touch(tmp_path, "a.mp4")
    with pytest.raises(Exception, match=f"unknown split '{split}'"):
        recognise(tmp_path, emotions=MER_EMOTIONS)


def test_a_clip_of_two_parts_is_left_out(tmp_path: Path) -> None:
    table(tmp_path, "labels.csv", "name,emotion,split\na,angry,test1\na,angry,test2\n")
    touch(tmp_path, "a.mp4")
    found = recognise(tmp_path, emotions=MER_EMOTIONS)
    assert [(item.name, item.reason) for item in found.left_out] == [
        ("a", QuarantineReason.CONFLICTING_LABELS)
    ]
