"""A run's events name it wherever they come from (the flow, threads of its tasks, a worker elsewhere); and what it counts."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from observed_process import counted, end_observation, events_of, observed_process

from flows import console_handler, observed_run
from flows.cli.outcome import say_failure
from flows.observed_run import observed_run as running
from flows.run_log import RunLog
from flows.terminal import Terminal, heard_by
from flows.workers.serve import run_taken
from flows.workers.watch import QueueWatch
from infra.catalogue import ProcessRole, open_catalogue
from infra.errors import NoWorker
from infra.observing import INFO, WARNING, logged, record, shows_events
from infra.observing.context import context, context_of
from infra.settings import Settings, load_settings
from tasks.stage.computed_time import counted as computing
from tasks.stage.workspace import workspace


@pytest.fixture
def observed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    monkeypatch.setenv("MER_HOME", str(settings.home))
    workspace()
    run = SimpleNamespace(flow_run=SimpleNamespace(id="0a1b", name="night (brave-otter)"))
    monkeypatch.setattr(observed_run, "FlowRunContext", SimpleNamespace(get=lambda: run))
    with observed_process(settings):
        yield settings


def test_what_is_printed_and_how_it_ends_are_events_of_the_run(observed: Settings) -> None:
    terminal = Terminal(file=io.StringIO(), width=40)
    with running("retrain"), heard_by(RunLog(logging.NullHandler(), "0a1b")):
        terminal.print("[bold]\\[2/9] features[/] of a line that is longer than the terminal is wide")
    found = events_of(observed)
    assert [event["message"] for event in found[:2]] == [
        "flow retrain begins",
        "[2/9] features of a line that is longer than the terminal is wide",
    ]
    assert "ended after" in found[2]["message"]
    assert {(event["flow"], event["flow_run"], event["flow_run_name"]) for event in found} == {
        ("retrain", "0a1b", "night (brave-otter)")
    }
    totals = counted(observed)
    assert totals["mer_flow_runs_total", "retrain", "completed"] == 1
    assert totals["mer_last_run_timestamp_seconds", "retrain", "completed"] > 1.7e9


def test_an_error_is_told_once_and_of_a_bug_the_traceback(observed: Settings) -> None:
    for error in (NoWorker("none came: start one"), ZeroDivisionError("a bug")):
        with pytest.raises(type(error)), running("retrain"):
            raise error
    ours, bug = events_of(observed, level="error")
    assert (
        ours["message"] == "flow retrain ended by NoWorker: none came: start one" and "traceback" not in ours
    )
    assert "ZeroDivisionError: a bug" in bug["traceback"]
    assert counted(observed)["mer_flow_runs_total", "retrain", "failed"] == 2


def test_a_worker_says_whose_run_it_works_for(observed: Settings) -> None:
    with open_catalogue(observed) as catalogue, QueueWatch(catalogue, 30.0, 5.0) as queue:
        from threading import Thread

        def hand_out() -> None:
            with running("retrain"), logged(tracked_run="retrain x"):
                queue.run("tasks.a.do_it", "{}", "mer-cpu")

        thread = Thread(target=hand_out, daemon=True)
        thread.start()
        catalogue.beat("w", ProcessRole.WORKER, "h:w", 1, ["mer-cpu"])
        taken = None
        while taken is None:
            taken = catalogue.take_task("w", [queue.identity], ["mer-cpu"])
        known = context_of(taken.context)
        from infra.catalogue import WorkDone

        outcome, ended = run_taken({}, taken)
        catalogue.finish_task(taken, outcome, WorkDone("h:w", "cpu", 0.0))
        thread.join(10)
    assert known == {
        "flow": "retrain", "flow_run": "0a1b", "flow_run_name": "night (brave-otter)", "tracked_run": "retrain x",
    }  # fmt: skip
    assert "failed" in ended
    assert not context()


def test_computation_is_counted_by_pool_and_device(
    observed: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.context import TaskRunContext

    for tags in (["gpu"], []):
        task = SimpleNamespace(task=SimpleNamespace(tags=set(tags)))
        monkeypatch.setattr(TaskRunContext, "get", lambda task=task: task)
        with computing():
            pass
    assert {key[1:] for key in counted(observed) if key[0] == "mer_device_seconds_total"} == {
        ("cpu", "mer-gpu"), ("cpu", "mer-cpu"),
    }  # fmt: skip


def test_json_takes_the_place_of_text_on_standard_error(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import json

    settings.home.mkdir()
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with observed_process(load_settings(home=settings.home, log_format="json")):
        assert shows_events()
        record(INFO, "x", "no news")
        logging.getLogger("tasks.x").warning("a warning")
        say_failure("the end")
        theirs = logging.LogRecord("prefect.x", WARNING, __file__, 1, "said by Prefect", None, None)
        assert not console_handler._is_text(theirs), "it is an event, and no text"
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["level"], line["message"]) for line in lines] == [
        ("info", "no news"), ("warning", "a warning"), ("error", "the end"), ("warning", "said by Prefect"),
    ]  # fmt: skip
    end_observation()
    say_failure("for people")
    assert capsys.readouterr().err == "mer: for people\n"
    assert console_handler._is_text(cast(Any, None)) and sys.stderr is not None
