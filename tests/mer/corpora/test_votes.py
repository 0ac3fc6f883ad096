"""Label tables with votes: long form with annotators, and counts by class."""

from __future__ import annotations

from pathlib import Path

import pytest

from mer.corpora import recognise
from mer.corpora.account import account_of
from mer.corpora.options import ReadingOptions
from mer.emotions import MER_EMOTIONS
from mer.errors import CorpusError
from mer.votes.vote import Vote, shares_of


def corpus(root: Path, table: str, clips: str = "abc", options: ReadingOptions | None = None):
    for name in clips:
        (root / f"{name}.wav").write_bytes(b"RIFF")
    (root / "labels.csv").write_text(table)
    return recognise(root, emotions=MER_EMOTIONS, options=options or ReadingOptions())


LONG = """name,annotator,emotion,speaker
a,ann,happy,s1
a,ben,Happiness,s1
a,cho,sad,s1
b,ann,angry,s2
b,ben,sad,s2
c,ann,neutral,s1
"""


def test_long_form_is_read_unchanged(tmp_path: Path) -> None:
    found = corpus(tmp_path, LONG)
    by_name = {entry.name: entry for entry in found.entries}
    assert {name: entry.emotion for name, entry in by_name.items()} == {
        "a": "happy",
        "b": None,
        "c": "neutral",
    }
    assert by_name["a"].votes[1] == Vote(annotator="ben", emotion="happy")
    assert by_name["a"].speaker == "s1"
    assert by_name["b"].split == "unlabelled", "a tie is no label"
    assert not found.left_out
    account = account_of(found)
    assert account.agreement is not None and account.agreement.annotators == 3
    assert any("1 clips have no emotion with most votes" in line for line in account.lines())
    assert any("alpha" in line for line in account.lines())


def test_weights_and_several_emotions(tmp_path: Path) -> None:
    table = "name,rater,emotion,weight\na,ann,happy,.6\na,ann,sad,.4\na,ben,sad,1\nb,ann,sad,\nb,ann,happy,\nb,ben,sad,\n"
    by_name = {entry.name: entry for entry in corpus(tmp_path, table, "ab").entries}
    assert by_name["a"].emotion == "sad"
    assert shares_of(by_name["a"].votes) == {"sad": 0.7, "happy": 0.3}
    assert shares_of(by_name["b"].votes) == {"sad": 0.75, "happy": 0.25}, (
        "without weights they share one vote"
    )


def test_valence_is_the_mean_and_repeats_count_once(tmp_path: Path) -> None:
    table = "name,annotator,emotion,valence\na,ann,sad,-2\na,ann,sad,-2\na,ben,sad,-1\na,cho,happy,3\n"
    (entry,) = corpus(tmp_path, table, "a").entries
    assert (entry.emotion, entry.valence, len(entry.votes)) == ("sad", 0.0, 3)


def test_counts_by_class(tmp_path: Path) -> None:
    table = "file,neutral,Anger,happy,sad,speaker\na,0,3,1,,s1\nb,2,2,0,0,s2\nc,0,0,0,0,s2\n"
    found = corpus(tmp_path, table)
    by_name = {entry.name: entry for entry in found.entries}
    assert {name: entry.emotion for name, entry in by_name.items()} == {"a": "angry", "b": None, "c": None}
    assert shares_of(by_name["a"].votes) == {"angry": 0.75, "happy": 0.25}
    agreement = account_of(found).agreement
    assert agreement is not None and (agreement.clips, agreement.votes, agreement.annotators) == (2, 8, None)
    assert found.format == "table"


def test_a_column_of_labels_is_the_label_whatever_is_counted(tmp_path: Path) -> None:
    (entry,) = corpus(tmp_path, "name,emotion,happy,sad\na,happy,0,5\n", "a").entries
    assert (entry.emotion, entry.votes) == ("happy", ())


def test_rows_that_contradict_each_other_otherwise_are_left_out(tmp_path: Path) -> None:
    found = corpus(
        tmp_path,
        "name,annotator,emotion,speaker\na,ann,sad,s1\na,ben,sad,s2\nb,ann,sad,s1\nb,ben,sad,s1\n",
        "ab",
    )
    assert [entry.name for entry in found.entries if entry.emotion] == ["b"]
    assert [item.reason for item in found.left_out] == ["conflicting_labels"]


def test_without_annotators_several_rows_still_conflict(tmp_path: Path) -> None:
    found = corpus(tmp_path, "name,emotion,weight\na,sad,1\na,happy,1\nb,sad,1\n", "ab")
    assert [item.reason for item in found.left_out] == ["conflicting_labels"]


def test_wrong_cells_are_said_with_their_row(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"row 2, column happy"):
        corpus(tmp_path, "name,happy,sad\na,many,0\n", "a")
    with pytest.raises(CorpusError, match="row 3: weight of a vote"):
        corpus(tmp_path, "name,annotator,emotion,weight\na,ann,sad,1\na,ben,sad,-1\n", "a")
    with pytest.raises(CorpusError, match="hapy"):
        corpus(tmp_path, "name,annotator,emotion\na,ann,hapy\na,ben,happy\n", "a")


def test_unlabelled_on_purpose_stays_so(tmp_path: Path) -> None:
    table = "name,annotator,emotion,split\na,ann,sad,unlabelled\na,ben,sad,unlabelled\nb,ann,sad,train\n"
    by_name = {entry.name: entry for entry in corpus(tmp_path, table, "ab").entries}
    assert (by_name["a"].emotion, by_name["a"].votes) == (None, ())
