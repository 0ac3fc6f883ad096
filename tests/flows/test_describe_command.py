"""`mer describe` without a corpus, and of one that no run has seen; with one that was run: tests/e2e/test_describe.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.cli.describe import description_lines
from flows.progress import _stages
from flows.stage_reads import FEATURES, stage_reads
from mer.recipes import load_recipe, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_fits_one_screen_of_80_columns(name: str) -> None:
    lines = "\n".join(description_lines(load_recipe(name), "", "no corpus")).splitlines()
    assert max(map(len, lines)) <= 80 and 10 < len(lines) <= 40
    assert lines[0].startswith(f"recipe {name}") and "no corpus" in lines


def test_the_stages_are_those_of_a_run() -> None:
    for name in recipe_names():
        recipe = load_recipe(name)
        told = list(
            dict.fromkeys(
                stage.kind if stage.kind == FEATURES else stage.name for stage in stage_reads(recipe)
            )
        )
        assert told[:-1] == list(_stages(recipe))[:-1] and told[-1] == "registration, gate"


def test_each_stage_says_what_it_reads() -> None:
    reads = {stage.name: stage.reads for stage in stage_reads(load_recipe("demo", ["acoustic.block=[2, 4]"]))}
    assert reads["features of acoustic"] == "sound by wheel:moonshine-tiny, also at speed 0.9, 1.1"
    assert reads["adaptation of acoustic"] == "lora, layers 2 to 3; labels of training clips"
    assert reads["alignment of visual"] == "visual and acoustic of all clips, no label"
    assert all(reads.values())


def test_nothing_heavy_is_loaded_and_nothing_written(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom flows.cli import app\n"
        "answer = CliRunner().invoke(app, ['describe', 'clips', '--name', 'nothing'])\n"
        "print(answer.output)\nprint(sorted({'torch', 'prefect', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"MER_HOME": str(tmp_path / "home"), "PATH": "", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "nothing is not in the catalogue yet" in done.stdout
    assert done.stdout.strip().endswith("[]") and not (tmp_path / "home").exists()


def test_a_recipe_that_there_is_not_is_named() -> None:
    answer = CliRunner().invoke(app, ["describe", "demmo"])
    assert answer.exit_code == 1 and "nearest: demo" in str(answer.exception)
