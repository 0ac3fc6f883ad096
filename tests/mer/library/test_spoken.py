"""`Model.predict` with words: given in any form, beside the files, or known; asked again with others, it answers by these."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import soundfile
from small_model import write_small

import mer
from mer.errors import ConfigError
from mer.library.model import Model

A, B = "I am so glad to see you", "leave me alone, I hate this"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("model")
    return mer.load_model(write_small(folder / "package", reads_words=True), cache=folder / "weights")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(1600), 16_000)
    return [tmp_path / "a.wav", tmp_path / "b.wav"]


def answers(model: Model, files: Any, transcripts: Any = None) -> list[float | None]:
    """Probabilities of being happy; None where there were no words."""
    return [
        row.probabilities["happy"] if row.modalities else None for row in model.predict(files, transcripts)
    ]


def a_list(folder: Path) -> Any:
    return [A, B]


def a_mapping(folder: Path) -> Any:
    return {"a": A, folder / "b.wav": B}


def a_table(folder: Path) -> Any:
    (folder / "t.csv").write_text(f'name,text\na,"{A}"\nb.wav,"{B}"\n')
    return folder / "t.csv"


def beside(folder: Path) -> Any:
    (folder / "a.txt").write_text(A)
    (folder / "b.txt").write_text(B)


@pytest.mark.parametrize("give", [a_list, a_mapping, a_table, beside])
def test_words_in_any_form(give: Callable[[Path], Any], model: Model, files: list[Path]) -> None:
    expected = answers(model, pandas.DataFrame({"path": map(str, files), "transcript": [A, B]}))
    assert None not in expected and expected[0] != expected[1]
    assert answers(model, files) == [None, None]
    assert answers(model, files, give(files[0].parent)) == pytest.approx(expected)
    assert answers(model, files, [B, A]) == pytest.approx(expected[::-1]), "the answers of before"
    assert answers(model, files, [None, A])[1] == pytest.approx(expected[0])


def test_which_words_count(model: Model, files: list[Path]) -> None:
    beside(files[0].parent)
    swapped = pandas.DataFrame({"path": map(str, files), "transcript": [B, None]})
    (of_a, of_b) = answers(model, files, [A, B])
    assert answers(model, swapped) == pytest.approx([of_b, of_b]), (
        "the table's words, else those beside the file"
    )
    assert answers(model, swapped, {"a": A}) == pytest.approx([of_a, of_b])
    assert answers(model, files, {"a": B, "b": ""}) == [pytest.approx(of_b), None]


@pytest.mark.parametrize(
    ("transcripts", "message"),
    [(["one"], "expected 2 texts, one for each clip, found 1"), (7, "expected texts, a mapping or the path")],
)
def test_what_are_no_words(transcripts: Any, message: str, model: Model, files: list[Path]) -> None:
    with pytest.raises(ConfigError, match=message):
        model.predict(files, transcripts)


def test_a_text_for_no_clip_is_said(model: Model, files: list[Path]) -> None:
    with pytest.warns(UserWarning, match=r"1 of 2 texts have no clip here \(c\)"):
        model.predict(files, {"a": A, "c": B})
