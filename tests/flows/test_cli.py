"""The command line teaches, answers quickly, and says in one line what is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from flows.cli import app, local
from infra.settings import load_settings
from infra.tracking import Tracker
from mer.errors import ConfigError
from mer.recipes import recipe_names

COMMANDS = (
    "demo-data", "recipes", "describe", "ingest", "features", "layers", "adapt", "align", "train", "refresh", "drift", "search",
    "run", "predict", "quality", "evaluate", "report", "review", "serve", "models", "status", "up", "down", "deploy",
)  # fmt: skip


def test_help_lists_every_command() -> None:
    shown = CliRunner().invoke(app, ["--help"]).stdout
    assert all(command in shown for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"])
    assert shown.exit_code == 0
    assert len(shown.stdout) > 150


def test_help_names_every_built_in_recipe() -> None:
    shown = CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "400"}).stdout
    assert [name for name in recipe_names() if name not in shown] == []


def test_help_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'transformers', 'mlflow', 'prefect', 'sqlalchemy', 'numpy'}"
    code = f"import sys, flows.cli; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_path_that_is_not_there_is_named() -> None:
    answer = CliRunner().invoke(app, ["predict", "no/such/clip.mp4"])
    assert answer.exit_code == 2
    assert "no/such/clip.mp4" in answer.output


def test_a_submission_needs_candidates_that_are_there() -> None:
    nothing = CliRunner().invoke(app, ["predict"])
    assert (nothing.exit_code, "--candidates" in nothing.output) == (2, True)
    absent = CliRunner().invoke(app, ["predict", "--candidates", "no/such/table.csv"])
    assert (absent.exit_code, "no/such/table.csv" in absent.output) == (2, True)


def test_the_suffix_of_the_answers_names_their_form(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").touch()
    answer = CliRunner().invoke(
        app, ["predict", str(tmp_path / "clip.mp4"), "--out", str(tmp_path / "x.xlsx")]
    )
    assert isinstance(answer.exception, ConfigError)
    assert str(answer.exception) == (
        "predictions: expected a file named *.csv, *.json or *.jsonl, found 'x.xlsx'"
    )


def test_our_errors_are_one_line() -> None:
    code = "import sys; sys.argv = ['mer', 'evaluate', 'nothing']; from flows.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=_clean()
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "`mer run` makes one" in done.stderr


def _clean() -> dict[str, str]:
    import os
    import tempfile

    return {**os.environ, "MER_HOME": tempfile.mkdtemp()}


@pytest.mark.slow
def test_up_sends_what_waited_for_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MER_HOME", str(tmp_path))
    monkeypatch.delenv("MER_MLFLOW_TRACKING_URI", raising=False)
    down = load_settings(mlflow_tracking_uri=SecretStr("http://127.0.0.1:1"))
    Tracker(down).log_run("retrain brave-otter", status="FINISHED")
    assert Tracker(down).waiting() == 1
    monkeypatch.setattr(local, "servers", dict)  # its database is written directly: no server is needed
    assert "sent 1 tracking events" in CliRunner().invoke(app, ["up"]).stdout
    assert Tracker(load_settings()).waiting() == 0
    assert "sent" not in CliRunner().invoke(app, ["up"]).stdout
