"""`mer quality`: the columns of a corpus on a terminal of 80 columns, and as a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from flows.cli import app
from mer.demo.clip_file import write_clip
from mer.demo.face import Expression, draw_face, make_looks
from mer.emotions import MER_EMOTIONS
from mer.errors import ConfigError
from tasks.data.ingestion import list_corpus, probe_shard, write_labels

LONG = "a_very_long_name_of_a_clip_" + "x" * 120


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three films: a drawn face, the same darker, and an empty picture under a long name."""
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    root = tmp_path / "films"
    root.mkdir()
    face = draw_face(make_looks(0), Expression(), 0.1, (0.0, 0.0))
    pictures = {"light": face, "dark [x]": face // 3, LONG: np.full_like(face, 20)}
    for name, picture in pictures.items():
        write_clip(root / f"{name}.mp4", np.stack([picture] * 5), 5, None, 16_000)
    listing = list_corpus.fn(str(root), "my_films", MER_EMOTIONS)
    write_labels.fn(listing, MER_EMOTIONS, probe_shard.fn("my_films", listing.fresh, False))
    return root


def shown(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["quality", *arguments], env={"COLUMNS": "80"})


def test_distribution_and_worst_clips(corpus: Path) -> None:
    answer = shown("my_films")
    assert answer.exit_code == 0, answer.output
    lines = answer.stdout.splitlines()
    assert "quality of my_films: 3 clips, faces by haar" in answer.stdout
    (head,) = [line for line in lines if line.strip().startswith("column")]
    assert head.split() == ["column", "min", "25", "%", "median", "75", "%", "max", "missing"]
    by_column = {line[1:13].strip(): line[13:].split() for line in lines if line[1:2].isalpha()}
    assert by_column["duration (s)"][0] == "1.00" and by_column["duration (s)"][-1] == "0"
    assert by_column["speech (s)"] == ["-"] * 5 + ["3"]
    darkest = lines[next(n for n, line in enumerate(lines) if line.startswith("  brightness"))]
    assert darkest.endswith(LONG), "names are typed in again: never cut short"
    assert "dark [x]" in answer.stdout
    assert all(len(line) <= 80 for line in lines if LONG not in line)
    assert "detector haar" in answer.stderr and "ms a frame" in answer.stderr


def test_no_server_is_started(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def started() -> None:
        raise AssertionError("a server was asked for")

    monkeypatch.setattr("flows.servers.ensure_servers", started)
    assert shown(str(corpus)).exit_code == 0
    assert not (corpus.parent / "home" / "services").exists()


def test_without_measuring_nothing_is_measured(corpus: Path) -> None:
    answer = shown("my_films", "--no-measure")
    assert answer.exit_code == 0
    assert "3 of 3 clips are not measured" in answer.stdout
    assert shown("my_films", "--no-measure").stdout == answer.stdout


def test_rows_are_written(corpus: Path, tmp_path: Path) -> None:
    target = tmp_path / "quality.csv"
    answer = shown("films", "--out", str(target))
    assert answer.exit_code == 0, answer.output
    assert len(target.read_text(encoding="utf-8").splitlines()) == 4
    assert f"3 rows in {target}" in answer.stdout


def test_what_cannot_be_measured_is_listed_and_told_by_the_exit_code(corpus: Path) -> None:
    (corpus / "light.mp4").write_bytes(b"no longer a film")
    answer = shown("my_films")
    assert answer.exit_code == 3
    assert "not measured: light: " in answer.stderr
    assert "1 of 3 clips are not measured" in answer.stdout


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (("nothing",), LookupError, "expected one of my_films"),
        (
            ("my_films", "--out", "x.xlsx"),
            ConfigError,
            r"expected a file named \*\.csv, \*\.parquet, \*\.json",
        ),
        (("my_films", "--detector", "harr"), ConfigError, "nearest: haar"),
    ],
)
def test_mistakes_are_said_in_a_line(
    corpus: Path, arguments: tuple[str, ...], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says) as caught:
        answer = shown(*arguments)
        assert answer.exception is not None
        raise answer.exception
    assert "\n" not in str(caught.value)
