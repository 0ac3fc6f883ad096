"""Submissions: exactly the candidate rows, in their order."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from corpus_layouts import table

from mer.corpora.submission import Candidates, read_candidates, submission_table
from mer.errors import CorpusError, QuarantineReason
from mer.predictions import Evidence, Prediction


def answer(name: str, discrete: str, valence: float) -> Prediction:
    shares = {label: 0.8 if label == discrete else 0.1 for label in ("sad", "happy", "angry")}
    return Prediction.of_answer((name, f"{name}.wav"), shares, valence, Evidence((), ()), ("demo", 1))


ANSWERS = [answer("b", "sad", -2.0), answer("a", "happy", 1.23456), answer("c.noise", "angry", 0.0)]


def test_rows_and_order_are_those_of_the_candidates(tmp_path: Path) -> None:
    table(tmp_path, "track_all_candidates.csv", "name,discrete\nb,neutral\na,neutral\nc,neutral\nb,neutral\n")
    found = read_candidates(tmp_path / "track_all_candidates.csv")
    assert submission_table(found, ANSWERS) == "name,discrete\nb,sad\na,happy\nc,angry\nb,sad\n"


def test_valence_is_written_where_the_table_asks_for_it(tmp_path: Path) -> None:
    table(tmp_path, "test1.csv", "name,discrete,valence\na,,\nb,,\n")
    found = read_candidates(tmp_path / "test1.csv")
    assert submission_table(found, ANSWERS) == "name,discrete,valence\na,happy,1.2346\nb,sad,-2.0000\n"
    with pytest.raises(CorpusError, match="the model gives none"):
        submission_table(found, [answer("a", "sad", math.nan), answer("b", "sad", 1.0)])


def test_names_are_matched_up_to_the_first_dot_and_written_as_they_were() -> None:
    wanted = Candidates(("a.mp4", "c"), with_valence=False)
    assert submission_table(wanted, ANSWERS) == "name,discrete\na.mp4,happy\nc,angry\n"
    assert [wanted.wants(name) for name in ("a", "a.mp4", "c.noise", "b")] == [True, True, True, False]


def test_names_that_a_table_must_quote(tmp_path: Path) -> None:
    wanted = Candidates(('a,"b"', "=x"), with_valence=False)
    answers = [answer('a,"b"', "sad", 0.0), answer("=x", "happy", 0.0)]
    assert submission_table(wanted, answers) == 'name,discrete\n"a,""b""",sad\n=x,happy\n'


def test_candidates_without_a_prediction_are_listed_with_the_reason() -> None:
    wanted = Candidates(("a", "lost", "broken", *(f"more{n}" for n in range(20))), with_valence=False)
    with pytest.raises(CorpusError) as caught:
        broken = Prediction(
            name="broken", path="broken.mp4", status=QuarantineReason.EMPTY_FILE, model="demo"
        )
        submission_table(wanted, [*ANSWERS, broken], {"broken": "empty_file: 0 bytes"})
    message = str(caught.value)
    assert "22 of 23 candidates have no prediction, so nothing is written" in message
    assert "lost: no media or catalogued clip of this name" in message
    assert "broken: empty_file: 0 bytes" in message
    assert "and 12 more" in message


@pytest.mark.parametrize("text", ["", "names\na\n", "name\n", "name,discrete\n,sad\n"])
def test_tables_that_name_nothing(tmp_path: Path, text: str) -> None:
    table(tmp_path, "x.csv", text)
    with pytest.raises(CorpusError, match="expected a column `name` with a name in every row"):
        read_candidates(tmp_path / "x.csv")


def test_no_table(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="expected a table of candidates"):
        read_candidates(tmp_path / "x.csv")
