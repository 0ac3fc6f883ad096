"""The examples run as they stand, in small, and say what they found."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mer

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_every_example_is_run_here() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {"own_arrays", "own_clips", "own_fusion_model"}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_it_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 60


def test_own_arrays(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "own_arrays.py"))["main"](clips=120, epochs=4)
    said = capsys.readouterr().out
    assert "saved and loaded, equal: True" in said
    assert "low, high: 95 % interval, 12 speakers resampled" in said


def test_its_made_arrays_can_be_learnt() -> None:
    made = runpy.run_path(str(EXAMPLES / "own_arrays.py"))["made_arrays"]
    features, labels, speakers = made(360, seed=1)
    assert np.isnan(features["visual"]).all(axis=1).any() and not np.isnan(features["acoustic"]).any()
    fusion = mer.Fusion(epochs=20, hidden=32, batch_size=8).fit(features, labels, speakers=speakers)
    new, truth, _ = made(200, seed=2)
    assert fusion.score(new, truth) > 0.5  # chance is a third


def test_own_fusion_model(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "own_fusion_model.py"))["main"](clips=96, epochs=4)
    said = capsys.readouterr().out
    assert "saved and loaded, equal: True" in said
    assert "GatedFusion" in said and said.count("pooled") == 2


@pytest.mark.slow
def test_own_clips(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = runpy.run_path(str(EXAMPLES / "own_clips.py"))
    corpus = example["demo_corpus"](tmp_path, clips=36)
    example["main"](corpus, cache=tmp_path / "weights", epochs=5)
    said = capsys.readouterr().out
    assert "36 clips of 6 speakers (table)" in said
    assert "acoustic features of 35 of 36 clips, shape (36, 576)" in said  # one file is broken on purpose
    assert "best block" in said and "6 speakers resampled" in said


@pytest.mark.slow
@pytest.mark.parametrize("name", ["own_arrays", "own_fusion_model"])
def test_it_runs_as_a_program(name: str) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "saved and loaded, equal: True" in done.stdout
