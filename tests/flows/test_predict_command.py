"""`mer predict`: what goes to standard output, to a file and to people, and how it ends."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import Result
from small_model import register_small
from stub_bucket import serving
from typer.testing import CliRunner

from flows.cli import app
from flows.cli.one_answer import answer_lines
from infra.errors import StoreUnavailable
from mer.prediction_files import from_json, from_json_lines, from_table, read_predictions
from mer.predictions import Evidence, Prediction
from tasks.stage.workspace import workspace

FIELDS = set(Prediction.model_fields)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with two clips, one broken file, and a registered champion."""
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    register_small(workspace(), tmp_path / "package")
    (tmp_path / "clips").mkdir()
    for name in ("one", "two"):
        soundfile.write(tmp_path / f"clips/{name}.wav", np.full(1600, 0.01 * len(name)), 16_000)
    (tmp_path / "clips/broken.mp4").touch()
    (tmp_path / "empty").mkdir()
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["predict", *arguments])


READERS = {"--json": from_json, "--jsonl": from_json_lines, "--out=-": from_table}


@pytest.mark.parametrize("option", READERS)
def test_standard_output_holds_the_answers_and_nothing_else(option: str, folder: Path) -> None:
    done = run("clips/one.wav", option)
    assert done.exit_code == 0, done.output
    (row,) = READERS[option](done.stdout)
    assert (row.name, row.status, row.model, row.version) == ("one", "ok", "small", 1)
    assert "1 prediction by small version 1" in done.stderr
    assert not (folder / "predictions.csv").exists()


@pytest.mark.parametrize("option", READERS)
def test_every_field_of_every_row(option: str, folder: Path) -> None:
    done = run("clips", option)
    assert done.exit_code == 3
    rows = READERS[option](done.stdout)
    assert [(row.name, row.status) for row in rows] == [
        ("broken", "empty_file"),
        ("one", "ok"),
        ("two", "ok"),
    ]
    if option == "--out=-":
        columns = set(csv.DictReader(io.StringIO(done.stdout)).fieldnames or ())
        assert columns == (FIELDS - {"probabilities", "prediction_set"}) | {"p_angry", "p_happy"}
    else:
        lines = [done.stdout] if option == "--json" else done.stdout.splitlines()
        found = [json.loads(line) for line in lines]
        assert all(set(item) == FIELDS for item in (found[0] if option == "--json" else found))
    assert "not predicted: clips/broken.mp4: empty_file" in done.stderr


def test_a_version_that_knows_no_coverage_says_so_before_it_reads(folder: Path) -> None:
    done = run("clips/one.wav", "--coverage", ".9")
    assert done.exit_code == 1 and "made before 0.7.0" in str(done.exception or done.output)
    assert run("clips/one.wav", "--coverage", "1.5").exit_code == 2


def test_no_answer_on_a_flag(folder: Path) -> None:
    (row,) = from_json(run("clips/one.wav", "--json").stdout)
    (flag, *_) = row.flags
    done = run("clips/one.wav", "--json", "--no-answer-on", flag)
    (refused,) = from_json(done.stdout)
    assert (refused.status, refused.discrete) == (
        "abstained",
        None,
    ) and refused.probabilities == row.probabilities
    assert done.exit_code == 0 and "no answer by policy: 1 of 1 clips" in done.stderr


def test_both_a_file_and_standard_output(folder: Path) -> None:
    done = run("clips/one.wav", "--json", "--out", "new/folder/x.csv")
    assert done.exit_code == 0
    assert [row.name for row in from_json(done.stdout)] == ["one"]
    assert [row.name for row in read_predictions(folder / "new/folder/x.csv")] == ["one"]


@pytest.mark.parametrize("name", ["x.csv", "x.json", "x.jsonl"])
def test_a_file_of_each_form(name: str, folder: Path) -> None:
    done = run("clips", "--out", name)
    assert done.exit_code == 3 and len(read_predictions(folder / name)) == 3
    assert f"2 predictions by small version 1 in {name}" in done.stdout


def test_one_clip_is_answered_in_the_terminal_as_well(folder: Path) -> None:
    done = run("clips/one.wav")
    assert done.exit_code == 0
    shown = done.stdout.splitlines()
    assert shown[0] == "one" and "%" in shown[1]
    assert sum(line.lstrip().startswith(("angry ", "happy ")) for line in shown[2:4]) == 2
    assert "1 prediction by small version 1 in predictions.csv" in done.stdout
    assert max(map(len, shown[:6])) <= 80
    assert (folder / "predictions.csv").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("clips/one.wav",), 0, ""),
        (("clips",), 3, "not predicted: clips/broken.mp4: empty_file: "),
        (("clips/broken.mp4",), 3, "not predicted: clips/broken.mp4: empty_file: "),
        ((), 2, "mer: expected PATHS of clips, or --candidates; found neither"),
        (("nowhere.mp4",), 2, "mer: no such file or folder: nowhere.mp4"),
        (("clips", "--json", "--jsonl"), 2, "mer: expected --json or --jsonl, found both"),
        (("clips", "--transcripts", "nowhere.csv"), 2, "mer: no such file or folder: nowhere.csv"),
        (("--candidates", "clips/one.wav", "--json"), 2, "mer: expected --out FILE.csv or --out -"),
    ],
)
def test_how_it_ends(arguments: tuple[str, ...], code: int, said: str, folder: Path) -> None:
    done = run(*arguments)
    assert done.exit_code == code, done.output
    assert said in done.stderr and (said != "" or done.stderr == "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("empty",), "expected media files in empty, found none"),
        (("clips", "--out", "empty.csv/"), "expected a file to write, found the folder"),
        (("clips", "--out", "x.xlsx"), r"expected a file named \*.csv"),
        (("clips", "--out", "clips/one.wav/x.csv"), "cannot be written"),
        (("clips", "--model", "nobody"), "nobody"),
    ],
)
def test_errors_of_ours(arguments: tuple[str, ...], message: str, folder: Path) -> None:
    (folder / "empty.csv").mkdir()
    done = run(*arguments)
    assert done.exit_code == 1 and done.exception is not None
    with pytest.raises(type(done.exception), match=message):
        raise done.exception
    assert "\n" not in str(done.exception) and done.stdout == ""


def test_files_without_an_answer_are_listed_up_to_ten(folder: Path) -> None:
    for number in range(14):
        (folder / f"clips/e{number:02d}.wav").touch()
    done = run("clips")
    lines = [line for line in done.stderr.splitlines() if line.startswith("not predicted")]
    assert len(lines) == 11 and lines[-1] == "not predicted: and 5 more, see predictions.csv"
    assert sum(not row.answered for row in read_predictions("predictions.csv")) == 15


@pytest.mark.parametrize(
    ("given", "beside", "same_as"),
    [
        ("glad", None, "glad"),
        ("glad", "terrible", "glad"),
        (None, "terrible", "terrible"),
        (None, None, None),
    ],
)
def test_words_of_a_table_and_beside_the_clip(
    given: str | None, beside: str | None, same_as: str | None, folder: Path
) -> None:
    register_small(workspace(), folder / "words", "words", reads_words=True)
    more: list[str] = []
    if given is not None:
        Path("t.csv").write_text(f"name,text\none.wav,{given}\nabsent,other\n")
        more = ["--transcripts", "t.csv"]
    if beside is not None:
        Path("clips/one.txt").write_text(beside)
    done = run("clips/one.wav", "--json", "--model", "words", *more)
    (row,) = from_json(done.stdout)
    assert (row.modalities, row.flags) == (("lexical",), ()) if same_as else ((), ("no_transcript",))
    assert ("t.csv: 1 of 2 texts have no clip here (absent)" in done.stderr) == (given is not None)
    if same_as is not None:
        Path("clips/two.txt").write_text(same_as)
        (other,) = from_json(run("clips/two.wav", "--json", "--model", "words").stdout)
        assert other.probabilities == row.probabilities


def test_names_that_begin_with_a_dash_and_names_of_no_alphabet(folder: Path) -> None:
    (folder / "clips/broken.mp4").unlink()
    (folder / "clips/one.wav").rename(folder / "clips/-i.wav")
    done = run("--json", "--", "clips/-i.wav")
    assert [row.path for row in from_json(done.stdout)] == ["clips/-i.wav"]


LONG = Prediction.of_answer(
    ("n" * 200, "p"), {"a" * 60: 0.25, "b": 0.75}, 1.5, Evidence(("voice",) * 30, ("odd",) * 40), ("m", 3)
)
REFUSED = Prediction(name="x", path="x", status="empty_file", model="m")


@pytest.mark.parametrize("row", [LONG, REFUSED], ids=["long", "refused"])
def test_eighty_columns(row: Prediction) -> None:
    lines = answer_lines(row)
    assert max(map(len, lines)) <= 80
    assert ("b 75.0 %, valence +1.50" in lines[1]) if row.answered else lines[1] == "no answer: empty_file"


def test_clips_in_a_bucket(folder: Path) -> None:
    objects = {f"a/new/{file.name}": file.read_bytes() for file in (folder / "clips").iterdir()}
    with serving(objects) as endpoint:
        done = run(f"s3://data/a/new?endpoint={endpoint}", "--json")
        again = run(f"s3://data/a/new?endpoint={endpoint}", "clips/one.wav", "--json")
    assert done.exit_code == 3, done.output
    assert [(row.name, row.status) for row in from_json(done.stdout)] == [
        ("broken", "empty_file"),
        ("one", "ok"),
        ("two", "ok"),
    ]
    assert len(from_json(again.stdout)) == 4


def test_a_bucket_that_does_not_answer_is_an_error_of_ours(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MER_STORE_TIMEOUT_SECONDS", "1")
    done = run("s3://data/x?endpoint=http://127.0.0.1:9", "--json")
    assert isinstance(done.exception, StoreUnavailable) and "s3://data/x" in str(done.exception)
