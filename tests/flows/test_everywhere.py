"""Options of all commands stand before or behind their names; the command line works in every locale and behind a pipe."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.cli.outcome import failure

ROOT = Path(__file__).resolve().parents[2]


def mer(*arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "MER_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )


@pytest.mark.parametrize("arguments", [["--version"], ["status", "--version"], ["run", "--version"]])
def test_the_version_is_shown_wherever_it_is_asked_for(arguments: list[str]) -> None:
    answer = CliRunner().invoke(app, arguments)
    assert (answer.exit_code, answer.output.split()[0]) == (0, "mer")


@pytest.mark.parametrize("arguments", [["--quiet", "recipes"], ["recipes", "--quiet"]])
def test_quiet_shows_the_last_line_only(arguments: list[str], tmp_path: Path) -> None:
    done = mer(*arguments, home=tmp_path)
    assert done.stdout.splitlines() == [
        "`mer recipes NAME` shows all options of one, `mer run --recipe NAME` runs it."
    ]


def test_behind_two_dashes_they_are_arguments(tmp_path: Path) -> None:
    answer = CliRunner().invoke(app, ["recipes", "--", "--quiet"], env={"MER_HOME": str(tmp_path)})
    assert "--quiet" in str(answer.exception)


@pytest.mark.slow
@pytest.mark.parametrize(
    "locale",
    [
        {"LC_ALL": "C"},
        {"LANG": "C", "LC_ALL": ""},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii"},
    ],
    ids=lambda locale: "-".join(f"{name}={value}" for name, value in locale.items()),
)
def test_names_of_any_language_are_shown_in_every_locale(locale: dict[str, str], tmp_path: Path) -> None:
    home = tmp_path / "größe 日本"
    done = mer("status", home=home, **locale)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    shown = str(home) if "PYTHONIOENCODING" not in locale else "\\u65e5"
    assert shown in done.stdout.replace("\n", ""), done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("command", [["recipes"], ["recipes", "demo"], ["models"]])
def test_a_reader_who_goes_away_is_no_error(command: list[str], tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *command],
        env={**os.environ, "PYTHONPATH": str(ROOT), "MER_HOME": str(tmp_path), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
        process.wait(60)
    assert (process.returncode, said) == (141, b"")


@pytest.mark.parametrize("command", [["status"], ["models"], ["generations"], ["recipes"]])
def test_commands_that_read_make_no_home(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("MER_HOME", str(home))
    assert CliRunner().invoke(app, command).exit_code == 0
    assert not home.exists()


@pytest.mark.parametrize(
    "command",
    [
        ["evaluate"],
        ["models", "m", "--rollback"],
        ["generations", "show", "1"],
        ["generations", "trace", "clip"],
    ],
    ids=" ".join,
)
def test_commands_that_need_a_home_say_which_one_is_empty(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("MER_HOME", str(home))
    answer = CliRunner().invoke(app, command)
    assert answer.exception is not None and answer.output == ""
    said = failure(answer.exception)
    assert str(home) in said and "\n" not in said
    assert not home.exists()


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("MER_TASK_RUNNER", "spark", "MER_TASK_RUNNER"),
        ("MER_COMPUTE_THREADS", "-1", "MER_COMPUTE_THREADS"),
        (
            "MER_DATABASE_URL",
            "mysql://x/y",
            "MER_DATABASE_URL: expected an address sqlite:///... or postgresql://...",
        ),
        ("MER_DATABASE_URL", "nonsense", "database URL cannot be read"),
        ("MER_DATABASE_URL", "postgresql://127.0.0.1:1/x", "does not answer"),
        ("MER_PREFECT_API_URL", "localhost", "MER_PREFECT_API_URL: expected http"),
        ("MER_OBJECT_STORE_URL", "ftp://x", "expected MER_OBJECT_STORE_URL as file:///FOLDER or s3://"),
        ("MER_OBJECT_STORE_URL", "s3://bucket", "MER_S3_ACCESS_KEY"),
        ("MER_OBJECT_STORE_URL", "s3://b?endpoint=http://127.0.0.1:1", "invalid bucket name"),
        ("MER_OBJECT_STORE_URL", "s3://bucket?endpoint=http://127.0.0.1:1", "127.0.0.1:1"),
    ],
)
def test_settings_that_cannot_work_are_one_line(
    variable: str, value: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MER_HOME", str(tmp_path))
    (tmp_path / "catalogue.db").touch()
    monkeypatch.setenv("MER_CATALOGUE_TIMEOUT_SECONDS", "2")
    monkeypatch.setenv("MER_STORE_TIMEOUT_SECONDS", "2")
    if value != "s3://bucket":
        monkeypatch.setenv("MER_S3_ACCESS_KEY", "key")
        monkeypatch.setenv("MER_S3_SECRET_KEY", "secret")
    monkeypatch.setenv(variable, value)
    answer = CliRunner().invoke(app, ["models"])
    assert answer.exception is not None
    message = failure(answer.exception)
    assert said in message and "\n" not in message


@pytest.mark.slow
def test_ctrl_c_ends_a_flow_with_a_line_and_a_code_though_a_thread_computes(tmp_path: Path) -> None:
    code = (
        "import threading, time\n"
        "from flows.cli.group import interruptible\n"
        "from flows.cli import commands\n"
        "@commands.app.command()\n"
        "def long() -> None:\n"
        "    interruptible()\n"
        "    threading.Thread(target=time.sleep, args=(120,)).start()\n"
        "    print('at work', flush=True)\n"
        "    time.sleep(120)\n"
        "commands.main()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, "long"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "MER_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "at work\n"
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        assert process.wait(60) == 130
    assert time.monotonic() - started < 20
    assert said.startswith("mer: interrupted; the same command goes on") and said.count("\n") == 1


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_the_version_of_a_model_is_not_the_version_of_the_program(command: str, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"no media")
    arguments = [command, str(clip), "--out", str(tmp_path / "out.csv"), "--model", "m", "--version", "3"]
    arguments = arguments if command == "predict" else [command, "m", "--version", "3"]
    answer = CliRunner().invoke(app, arguments, env={"MER_HOME": str(tmp_path / "home")})
    assert "mer 0." not in answer.output
    assert isinstance(answer.exception, LookupError) and "m" in str(answer.exception)


def test_prediction_without_a_model_makes_no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, clip = tmp_path / "home", tmp_path / "clip.wav"
    clip.write_bytes(b"RIFF")
    monkeypatch.setenv("MER_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    answer = CliRunner().invoke(app, ["predict", str(clip)])
    assert answer.exception is not None and str(home) in failure(answer.exception)
    assert not home.exists()
