"""`mer watch` says first what is watched, what will start and when; in the background it is a service of the home."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.watching import background
from flows.watching.watch import Watch
from infra.settings import load_settings
from mer.errors import ConfigError


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and a home of its own."""
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    folder = tmp_path / "clips"
    folder.mkdir()
    return folder


def test_the_first_lines_say_what_starts_and_when(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Watch] = []

    def look(watch: Watch) -> None:
        looked.append(watch)
        watch.ended = 1

    monkeypatch.setattr(Watch, "look", look)
    options = [
        "--recipe",
        "best",
        "--count",
        "5",
        "--quiet-seconds",
        "60",
        "--runs",
        "1",
        "--model",
        "calls",
        "--promote",
    ]
    answer = CliRunner().invoke(app, ["watch", str(clips), *options])
    assert answer.exit_code == 0, answer.output
    first, second, third, _ = answer.stdout.splitlines()
    assert first == f"watching {clips} (corpus clips)"
    assert second == "starts refresh with recipe best"
    assert third == "  after 5 new clips, or 60 s after the last one"
    (watch,) = looked
    expected = {"recipe": "best", "corpus": str(clips), "model": "calls", "promote": True}
    assert watch.starter.options == expected  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["no/such/folder"], "expected a folder of clips, found none"),
        (["CLIPS", "--recipe", "demmo"], "nearest: demo"),
        (["CLIPS", "--flow", "ingest", "--model", "m"], "ingest registers no version"),
        (["CLIPS", "--set", "fusion.hiden=3"], "nearest: fusion.hidden"),
    ],
)
def test_what_cannot_work_is_said_first(arguments: list[str], complaint: str, clips: Path) -> None:
    answer = CliRunner().invoke(
        app, ["watch", *(str(clips) if item == "CLIPS" else item for item in arguments)]
    )
    assert answer.exit_code == 1 and isinstance(answer.exception, ConfigError)
    assert complaint in str(answer.exception)


def test_in_the_background_it_is_started_again_until_it_is_stopped(
    clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[str, list[str]]] = []

    def start(name: str, command: Any, environment: Any, settings: Any) -> bool:
        started.append((name, list(command)))
        return True

    monkeypatch.setattr(background, "start_command", start)
    monkeypatch.setattr("flows.cli.local.servers", dict)
    given = ["watch", str(clips), "--recipe", "best", "--background"]
    monkeypatch.setattr(sys, "argv", ["mer", *given])
    answer = CliRunner().invoke(app, given)
    assert answer.exit_code == 0 and "in the background" in answer.stdout, answer.output
    ((name, command),) = started
    assert command[1:] == ["-m", "flows.cli", "watch", str(clips), "--recipe", "best"]
    settings = load_settings()
    assert background.known_watches(settings) == {name: ["watch", str(clips), "--recipe", "best"]}
    assert background.start_watches(settings) == [f"watching again: mer watch {clips} --recipe best"]
    monkeypatch.setattr(background, "has_died", lambda *_: True)
    monkeypatch.setattr(background, "was_not_stopped", lambda *_: True)
    monkeypatch.setattr(background, "was_started", lambda *_: True)
    assert background.restart_dead_watches(settings) and len(started) == 3
    (settings.home / "watches" / "watch-damaged.json").write_text('{"not": "arguments"}')
    stopped = CliRunner().invoke(app, ["watch", str(clips), "--recipe", "best", "--stop"])
    assert "not watched any more" in stopped.stdout
    assert background.known_watches(settings) == {}
    assert (
        "was not watched"
        in CliRunner().invoke(app, ["watch", str(clips), "--recipe", "best", "--stop"]).stdout
    )


def test_arguments_are_kept_as_they_were_given(clips: Path) -> None:
    settings = load_settings()
    file = settings.home / "watches" / "watch-12345678.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(["watch", "a folder;$(x)", "--set", "a=b c"]))
    assert background.known_watches(settings) == {
        "watch-12345678": ["watch", "a folder;$(x)", "--set", "a=b c"]
    }
