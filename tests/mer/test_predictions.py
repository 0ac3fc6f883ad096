"""The type of every answer, and its files."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mer.errors import ConfigError, QuarantineReason
from mer.prediction_files import (
    VIEWS,
    from_table,
    read_predictions,
    table_text,
    view_of,
    write_predictions,
)
from mer.predictions import Evidence, Prediction, flag_counts

CLASSES = ("neutral", "angry", "happy")
EVIDENCE = Evidence(("acoustic", "visual"), ("no_face", "cut"))


def answer(
    shares: tuple[float, ...] = (0.2, 0.7, 0.1), valence: float = -1.25, name: str = "a"
) -> Prediction:
    probabilities = dict(zip(CLASSES, shares, strict=True))
    return Prediction.of_answer((name, f"clips/{name}.mp4"), probabilities, valence, EVIDENCE, ("demo", 3))


def unreadable(name: str = "b") -> Prediction:
    return Prediction(
        name=name, path=f"{name}.mp4", status=QuarantineReason.EMPTY_FILE, model="demo", version=3
    )


def test_an_answer_says_what_there_is_to_say() -> None:
    given_answer = answer()
    assert given_answer.model_dump(mode="json") == {
        "name": "a",
        "path": "clips/a.mp4",
        "status": "ok",
        "probabilities": {"neutral": 0.2, "angry": 0.7, "happy": 0.1},
        "prediction_set": [],
        "discrete": "angry",
        "confidence": 0.7,
        "valence": -1.25,
        "modalities": ["acoustic", "visual"],
        "flags": ["no_face", "cut"],
        "model": "demo",
        "version": 3,
    }
    assert list(given_answer.probabilities) == list(CLASSES) and given_answer.answered
    assert not unreadable().answered


@pytest.mark.parametrize(("valence", "said"), [(-7.5, -5.0), (5.0001, 5.0), (0.0, 0.0), (math.nan, None)])
def test_valence_lies_within_the_range_of_the_labels(valence: float, said: float | None) -> None:
    assert answer(valence=valence).valence == said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"valence": 5.5}, "less than or equal to 5"),
        ({"valence": math.inf}, "finite"),
        ({"probabilities": {"neutral": 0.5, "angry": 0.7}}, "1 in sum"),
        ({"probabilities": {"angry": 1.0}}, "at least 2 classes"),
        ({"probabilities": {"neutral": -0.1, "angry": 1.1}}, "none negative"),
        ({"discrete": "neutral", "confidence": 0.2}, "expected the most probable class"),
        ({"discrete": None}, "expected the most probable class"),
        ({"confidence": 0.9}, "expected the probability of angry"),
        ({"confidence": None}, "expected the probability of angry"),
        ({"status": "empty_file"}, "expected no answer beside it"),
        ({"status": "fine"}, "status"),
        ({"version": 0}, "version"),
        ({"mood": "good"}, "mood"),
    ],
)
def test_what_contradicts_itself_is_no_prediction(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Prediction.model_validate({**answer().model_dump(), **change})


def test_a_prediction_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        answer().discrete = "happy"  # type: ignore[misc]


TEXT = st.text("ab0é中\U0001f600 ,;\"'=+-@\t\r\n\x0b\x85\u2028\x00", max_size=12)
WORD = st.text("ab_0é,;\"'=+-@/", min_size=1, max_size=8)


@st.composite
def predictions(draw: st.DrawFn) -> Prediction:
    name, path = draw(TEXT), draw(TEXT)
    version = draw(st.none() | st.integers(1, 9))
    if draw(st.booleans()):
        status = draw(st.sampled_from(QuarantineReason))
        return Prediction(name=name, path=path, status=status, model=draw(WORD), version=version)
    logits = draw(st.lists(st.floats(-30, 30), min_size=3, max_size=3))
    shares = np.exp(logits) / np.exp(logits).sum()
    evidence = Evidence(tuple(draw(st.lists(WORD, max_size=3))), tuple(draw(st.lists(WORD, max_size=3))))
    valence = draw(st.floats(-9, 9) | st.just(math.nan))
    probabilities = dict(zip(CLASSES, shares.tolist(), strict=True))
    return Prediction.of_answer((name, path), probabilities, valence, evidence, (draw(WORD), version))


@given(st.lists(predictions(), max_size=4))
def test_every_view_is_read_back(rows: list[Prediction]) -> None:
    for suffix, view in VIEWS.items():
        back = view.read(view.text(rows, CLASSES))
        if suffix != ".csv":
            assert back == rows and [list(row.probabilities) for row in back] == [
                list(row.probabilities) for row in rows
            ]
            continue
        numbers = ("probabilities", "confidence", "valence", "discrete")
        for one, other in zip(back, rows, strict=True):
            assert one.model_dump(exclude=set(numbers)) == other.model_dump(exclude=set(numbers))
            assert list(one.probabilities) == list(other.probabilities)
            for name in other.probabilities:
                assert one.probabilities[name] == pytest.approx(other.probabilities[name], abs=1e-6)
            assert (one.discrete, one.confidence is None) == (other.discrete, other.confidence is None)
            assert one.valence == (
                other.valence if other.valence is None else pytest.approx(other.valence, abs=1e-6)
            )


def test_the_table_as_it_is_written() -> None:
    text = table_text([answer(), unreadable("=1+2"), answer(valence=math.nan, name='x,"y"')], CLASSES)
    assert text == (
        "name,path,status,discrete,confidence,valence,p_neutral,p_angry,p_happy,modalities,flags,model,version\n"
        "a,clips/a.mp4,ok,angry,0.700000,-1.250000,0.200000,0.700000,0.100000,acoustic visual,no_face cut,demo,3\n"
        "'=1+2,'=1+2.mp4,empty_file,,,,,,,,,demo,3\n"
        '"x,""y""","clips/x,""y"".mp4",ok,angry,0.700000,,0.200000,0.700000,0.100000,acoustic visual,no_face cut,demo,3\n'
    )


def test_readers_of_the_earlier_table_find_their_columns() -> None:
    (row,) = csv.DictReader(io.StringIO(table_text([answer()], CLASSES)))
    earlier = {name: row[name] for name in ("name", "discrete", "valence", "confidence")}
    assert earlier == {"name": "a", "discrete": "angry", "valence": "-1.250000", "confidence": "0.700000"}


def test_names_that_utf_8_cannot_hold_or_nobody_can_see_are_escaped() -> None:
    row = Prediction(name="caf\udce9\n", path="a\tb", status=QuarantineReason.UNSAFE_NAME, model="demo")
    assert (row.name, row.path) == ("caf\\udce9\\n", "a\\tb")


@pytest.mark.parametrize("start", "=+-@'")
def test_no_text_of_the_table_runs_as_a_formula(start: str) -> None:
    name = f"{start}cmd|' /C calc'!A0"
    text = table_text([unreadable(name)], CLASSES)
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert row["name"] == f"'{name}" and row["path"][0] == "'"
    assert from_table(text)[0].name == name


def test_no_clip_at_all_is_a_table_of_a_header(tmp_path: Path) -> None:
    for suffix in VIEWS:
        path = tmp_path / f"none{suffix}"
        write_predictions(path, [], CLASSES)
        assert read_predictions(path) == read_predictions(str(path)) == []
        with pytest.raises(ConfigError, match="expected a file, found none at"):
            read_predictions(path.with_stem("gone"))
    assert "p_happy" in (tmp_path / "none.csv").read_text(encoding="utf-8")


def test_the_suffix_names_the_view(tmp_path: Path) -> None:
    for name in ("x.JSON", "x.jsonl", "x.csv"):
        write_predictions(tmp_path / name, [answer(), unreadable()], CLASSES)
        assert [row.status for row in read_predictions(tmp_path / name)] == ["ok", "empty_file"]
    assert len((tmp_path / "x.jsonl").read_text(encoding="utf-8").splitlines()) == 2
    for name in ("x.txt", "x", "x.csv.gz"):
        with pytest.raises(ConfigError, match=r"expected a file named \*.csv, \*.json or \*.jsonl, found"):
            view_of(Path(name))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", "name,discrete,valence,confidence\na,sad,0,1\n", "expected the columns name, path"),
        ("x.csv", "", "found none"),
        ("x.csv", table_text([answer()], CLASSES) + "a,b\n", "row 2: expected 13 cells"),
        ("x.csv", table_text([answer()], CLASSES).replace("0.200000", "0.9"), "found at row 1"),
        ("x.json", "{", "found at JSON"),
        ("x.jsonl", "{}\n", "found at line 1"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_predictions(tmp_path / name)


def test_flags_are_counted_the_commonest_first() -> None:
    plain = answer().model_copy(update={"flags": ()})
    odd = answer().model_copy(update={"flags": ("no_speech", "cut")})
    quiet = answer().model_copy(update={"flags": ("no_speech",)})
    assert flag_counts([plain, unreadable()]) == flag_counts([]) == ""
    assert flag_counts([odd, plain, quiet, unreadable()]) == "flags: no_speech 2, cut 1"
