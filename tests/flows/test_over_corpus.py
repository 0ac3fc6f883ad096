"""Commands over a corpus: the shared options are stated once, and reach the flow's options as they were given."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli import app, commands
from flows.cli.over_corpus import CorpusArguments
from flows.options import FlowOptions

OVER_CORPUS = ("run", "ingest", "features", "layers", "adapt", "align", "train", "refresh", "drift", "search")
SHARED = (
    "--recipe",
    "--set",
    "--corpus",
    "--name",
    "--format",
    "--label-map",
    "--emotions",
    "--valence-scale",
    "--text-column",
    "--demo-clips",
)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, FlowOptions]]:
    """What would have been run, in place of running it: the flows themselves are tested end to end."""
    calls: list[tuple[str, FlowOptions]] = []
    nothing = SimpleNamespace(unusable=())
    monkeypatch.setattr(
        commands, "run_flow", lambda flow, options, **_: calls.append((flow, options)) or nothing
    )
    return calls


@pytest.mark.parametrize("command", OVER_CORPUS)
def test_every_command_over_a_corpus_has_the_shared_options(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).stdout
    assert [option for option in SHARED if not re.search(rf"{option}\b", shown)] == []
    assert "corpus:" not in shown and "CorpusArguments" not in shown


@pytest.mark.parametrize("command", OVER_CORPUS)
def test_they_reach_the_flow(command: str, started: list[tuple[str, FlowOptions]]) -> None:
    given = [
        "--recipe", "best", "--set", "fusion.hidden=8", "--set", "seed=2", "--corpus", "folder", "--name", "mine",
        "--format", "table", "--label-map", "a=b", "--emotions", "b,no", "--valence-scale", "-1..1",
        "--text-column", "english", "--demo-clips", "40",
    ]  # fmt: skip
    answer = CliRunner().invoke(app, [command, *given])
    assert answer.exit_code == 0, answer.output
    ((flow, options),) = started
    module, _, function = flow.partition(":")
    assert (Path(*module.split(".")).with_suffix(".py")).is_file() and function
    expected = {
        "recipe": "best", "set": ("fusion.hidden=8", "seed=2"), "corpus": "folder", "corpus_name": "mine", "format": "table",
        "label_map": "a=b", "emotions": "b,no", "valence_scale": "-1..1", "text_column": "english", "demo_clips": 40,
    }  # fmt: skip
    assert {name: getattr(options, name) for name in expected} == expected
    reading = options.reading()
    assert (reading.label_map, reading.valence_scale) == ({"a": "b"}, (-1.0, 1.0))
    recipe = options.load_recipe()
    assert (recipe.name, recipe.fusion.hidden, recipe.seed) == ("best", 8, 2)


@pytest.mark.parametrize("command", OVER_CORPUS)
def test_each_flow_gets_options_of_its_own_kind(command: str, started: list[tuple[str, FlowOptions]]) -> None:
    CliRunner().invoke(app, [command])
    ((_, options),) = started
    kinds = {
        "run": "Retrain",
        "layers": "Layer",
        "adapt": "Adapt",
        "align": "Align",
        "refresh": "Refresh",
        "drift": "Drift",
        "ingest": "Ingest",
        "search": "Search",
    }
    assert type(options).__name__ == f"{kinds.get(command, 'Demo')}Options"
    assert options == type(options)(), "the command line has the flow's own defaults"


def test_a_command_has_at_most_seven_parameters() -> None:
    for command in OVER_CORPUS:
        assert (
            len(
                inspect.signature(inspect.unwrap(getattr(commands, command), stop=_states_its_own)).parameters
            )
            <= 7
        )
    assert len(fields(CorpusArguments)) == len(SHARED)


def _states_its_own(function: Any) -> bool:
    return not hasattr(function, "__wrapped__")


@pytest.mark.parametrize(
    ("arguments", "recipe"),
    [
        ([], "demo"),
        (["--corpus", "folder"], "clips"),
        (["--corpus", "folder", "--recipe", "demo"], "demo"),
        (["--recipe", "clips"], "clips"),
    ],
)
def test_clips_is_the_recipe_of_a_corpus(
    arguments: list[str], recipe: str, started: list[tuple[str, FlowOptions]]
) -> None:
    for command in OVER_CORPUS:
        CliRunner().invoke(app, [command, *arguments])
    assert {options.load_recipe().name for _, options in started} == {recipe} and len(started) == len(
        OVER_CORPUS
    )


def test_streams_are_named_freely(started: list[tuple[str, FlowOptions]]) -> None:
    for command in ("layers", "adapt"):
        answer = CliRunner().invoke(app, [command, "--stream", "whisper"])
        assert answer.exit_code == 0, answer.output
    assert [getattr(options, "stream", None) for _, options in started] == ["whisper", "whisper"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ["run", "--set", "fusion.hiden=3"],
            "fusion.hiden: unknown option, found value 3; nearest: fusion.hidden",
        ),
        (["train", "--recipe", "demmo"], "nearest: demo"),
        (["search", "--trials", "0", "--study", "../x"], "trials: .*found 0"),
        (["search", "--trials", "0", "--study", "../x"], "study: .*give another --study"),
        (["ingest", "--name", "a/b"], "corpus_name: .*found 'a/b'"),
    ],
)
def test_what_cannot_work_is_said_before_a_server_is_started(
    arguments: list[str], complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_servers", lambda: pytest.fail("a server was started"))
    answer = CliRunner().invoke(app, arguments)
    assert answer.exit_code == 1
    assert re.search(complaint, str(answer.exception)), answer.exception
