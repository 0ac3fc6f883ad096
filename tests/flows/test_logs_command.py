"""`mer logs` shows a person what happened, in order, and where; another program gets the events as they are."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from observed_process import observed_process
from typer.testing import CliRunner

from flows.cli import app
from flows.cli.logs import line_of
from infra.observing import ERROR, INFO, logged, record
from infra.settings import Settings


@pytest.fixture
def home(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    monkeypatch.setenv("MER_HOME", str(settings.home))
    settings.home.mkdir()
    yield settings


@pytest.fixture
def written(home: Settings) -> Settings:
    with observed_process(home, "run"):
        with logged(flow_run="0a1b", flow_run_name="ravdess, recipe best (brave-otter)", worker="gpu-host:7"):
            record(INFO, "mer.run", "[2/9] features")
            record(
                INFO,
                "tasks.stage",
                "features of acoustic: computed in 4.17 s",
                stage="features",
                shard="ff2f64f10181",
            )
            record(ERROR, "flows", "flow retrain ended by NoWorker: none came")
        record(INFO, "mer.run", " a   b \n 1   2 \n")
    return home


def said(*arguments: str) -> list[str]:
    answer = CliRunner().invoke(app, ["logs", *arguments], env={"TZ": "UTC"})
    assert answer.exit_code == 0, answer.output
    return answer.output.splitlines()


def test_lines_are_for_people(written: Settings) -> None:
    lines = said()
    assert [line[15:] for line in lines] == [
        "brave-otter [2/9] features  [worker gpu-host:7]",
        "brave-otter features of acoustic: computed in 4.17 s  [shard ff2f64f10181, worker gpu-host:7]",
        "brave-otter error: flow retrain ended by NoWorker: none came  [worker gpu-host:7]",
        "run ",
        lines[4][15:],
        lines[5][15:],
    ]
    assert lines[4:] == ["   a   b ", "   1   2 "], "a table stays one"


def test_what_is_asked_for(written: Settings) -> None:
    assert len(said("--run", "otter")) == 3
    assert len(said("--run", "0a1b", "--level", "error")) == 1
    assert len(said("--stage", "features", "--worker", "gpu")) == 1
    assert len(said("--lines", "2", "--process", "run")) == 4
    assert len(said("--since", "1h", "--run", "otter")) == 3


def test_json_is_what_was_written(written: Settings) -> None:
    (event,) = map(json.loads, said("--json", "--stage", "features"))
    assert event["shard"] == "ff2f64f10181" and event["flow_run_name"].endswith("(brave-otter)")


def test_nothing_is_said_and_made_where_there_is_nothing(home: Settings) -> None:
    answer = CliRunner().invoke(app, ["logs"])
    assert answer.exit_code == 0 and "no such events below" in answer.output
    assert list(home.home.iterdir()) == []


def test_a_time_that_is_none_is_refused(home: Settings) -> None:
    answer = CliRunner().invoke(app, ["logs", "--since", "yesterday"])
    assert answer.exit_code == 2 and "expected 90s, 30m, 2h, 7d" in " ".join(answer.output.split())


def test_an_odd_event_is_shown_all_the_same() -> None:
    assert line_of({"time": "2026-11-30T09:00:00Z"}).endswith(":00:00  ")
