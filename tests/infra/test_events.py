"""Events of processes: one JSON object a line, in files that stay below their size, without secrets; read back in their order."""

from __future__ import annotations

import json
import logging
import multiprocessing
import threading
from collections.abc import Iterator
from contextvars import copy_context
from pathlib import Path

import pytest
from observed_process import end_observation, events_of, observed_process

from infra.hidden_secrets import hide
from infra.observing import ERROR, INFO, WARNING, events, logged, record
from infra.observing.context import context, context_of, context_text
from infra.observing.event_file import PARTS, EventFile, event_files, event_folder
from infra.observing.reading import EventQuery, follow_events, read_events
from infra.settings import Settings, load_settings


@pytest.fixture
def observed(settings: Settings) -> Iterator[Settings]:
    """This process, as one of a home that is there."""
    settings.home.mkdir()
    with observed_process(settings):
        yield settings


def test_an_event_says_when_who_where_and_in_what(observed: Settings) -> None:
    with logged(flow_run="id1", flow_run_name="night (brave-otter)"), logged(stage="fusion", label="fold2"):
        record(INFO, "tasks.stage", "computed", seconds=1.5, clip="a.mp4", worker=None)
    event = dict(events_of(observed)[0])
    assert str(event.pop("time")).endswith("Z")
    assert isinstance(event.pop("pid"), int) and isinstance(event.pop("host"), str)
    assert event == {
        "level": "info", "logger": "tasks.stage", "message": "computed", "process": "test", "flow_run": "id1",
        "flow_run_name": "night (brave-otter)", "stage": "fusion", "label": "fold2", "clip": "a.mp4", "seconds": 1.5,
    }  # fmt: skip
    assert not context(), "what was set is not set any more"


def test_our_loggers_warnings_are_events_and_stay_lines(
    observed: Settings, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as in a process where nobody set logging up
    try:
        raise ValueError("the cause")
    except ValueError:
        logging.getLogger("tasks.data").warning("%d clips", 3, exc_info=True, extra={"clip": "c"})
    logging.getLogger("tasks.data").info("no news")
    (event,) = events_of(observed)
    assert (event["level"], event["message"], event["clip"]) == ("warning", "3 clips", "c")
    assert "ValueError: the cause" in str(event["traceback"])
    assert capfd.readouterr().err.splitlines()[0] == "3 clips", "as Python does without a handler"


def test_no_secret_is_in_an_event(observed: Settings) -> None:
    hide(["open-sesame"])
    record(ERROR, "x", "at http://mer:open-sesame@host/ said open-sesame")
    assert b"open-sesame" not in event_files(observed)[0].read_bytes()


def test_a_thread_with_the_context_knows_the_run_and_one_without_does_not(observed: Settings) -> None:
    with logged(flow_run="id1"):
        for run in (copy_context().run, lambda call, *given: call(*given)):
            thread = threading.Thread(target=run, args=(record, INFO, "x", "said"))
            thread.start()
            thread.join()
    assert [event.get("flow_run") for event in events_of(observed)] == ["id1", None]


def test_the_run_travels_with_a_task_and_nothing_else_does() -> None:
    with logged(flow_run="id1", stage="fusion", tracked_run="retrain x"):
        text = context_text()
    assert context_of(text) == {"flow_run": "id1", "tracked_run": "retrain x"}
    assert context_text() is None
    for odd in (None, "", "{", "[]", '{"worker": "w", "stage": "s"}'):
        assert context_of(odd) == {}
    with pytest.raises(ValueError, match="found stag"), logged(stag="fusion"):
        pass


def test_files_stay_below_their_size_and_keep_the_newest(tmp_path: Path) -> None:
    small = load_settings(home=tmp_path, retention_log_megabytes=0.02)
    file = EventFile(small)
    line = json.dumps({"time": "2026-11-30T00:00:00Z", "message": "x" * 100})
    for number in range(1000):
        file(line.replace("00:00:00", f"00:{number // 60:02}:{number % 60:02}") + "\n")
    kept = read_events(small, EventQuery())
    assert sum(path.stat().st_size for path in event_files(small)) <= 20_000 + PARTS * 200
    assert len(event_files(small)) == PARTS
    assert kept[-1]["time"] == "2026-11-30T00:16:39Z" and 90 < len(kept) < 200
    assert [event["time"] for event in kept] == sorted(event["time"] for event in kept)


def test_processes_write_one_file_and_no_line_is_lost(settings: Settings) -> None:
    settings.home.mkdir()

    def write(name: str) -> None:
        events.send_to([EventFile(settings)], name)
        for number in range(300):
            record(INFO, "x", f"{number}{'y' * 3000}")

    forked = multiprocessing.get_context("fork")
    writers = [forked.Process(target=write, args=(name,)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    seen = [(event["process"], str(event["message"]).rstrip("y")) for event in events_of(settings)]
    assert sorted(seen) == sorted((name, str(i)) for name in "ab" for i in range(300))
    assert len(event_files(settings)) == 1 and event_files(settings)[0].stat().st_mode & 0o077 == 0


def test_what_cannot_be_written_ends_nothing_and_makes_no_home(settings: Settings, tmp_path: Path) -> None:
    EventFile(settings)("line\n")
    assert not settings.home.exists()
    settings.home.mkdir()
    settings.logs_folder.write_text("in the way")
    events.send_to([EventFile(settings)], "test")
    record(WARNING, "x", "said")
    end_observation()
    assert event_files(settings) == []


def test_a_file_that_was_removed_is_made_again(observed: Settings) -> None:
    record(INFO, "x", "first")
    event_files(observed)[0].unlink()
    record(INFO, "x", "second")
    assert [event["message"] for event in events_of(observed)] == ["second"]


QUERIES = {
    "run by id": (EventQuery(run="id1"), {"a", "b"}),
    "run by name": (EventQuery(run="otter"), {"a", "b"}),
    "stage": (EventQuery(stage="fusion"), {"b"}),
    "stage's label": (EventQuery(stage="fold2"), {"b"}),
    "clip": (EventQuery(clip="c.mp4"), {"b"}),
    "mentioned clip": (EventQuery(clip="bad"), {"clip 'bad' fell"}),
    "worker": (EventQuery(worker="h:7"), {"clip 'bad' fell"}),
    "process": (EventQuery(process="other"), set()),
    "level": (EventQuery(level="warning"), {"b"}),
}


@pytest.mark.parametrize("query", QUERIES)
def test_what_is_asked_for_is_shown(query: str, observed: Settings) -> None:
    with logged(flow_run="id1-more", flow_run_name="night (brave-otter)"):
        record(INFO, "x", "a")
        record(WARNING, "x", "b", stage="fusion", label="fusion of fold2", clip="c.mp4")
    record(INFO, "x", "clip 'bad' fell", worker="h:7")
    with event_files(observed)[0].open("ab") as file:
        file.write(b'{"time": "2026", cut off\n\xff\n[]\n')
    asked, messages = QUERIES[query]
    assert {event["message"] for event in read_events(observed, asked)} == messages


def test_machines_are_merged_by_time_and_the_last_lines_are_taken(observed: Settings) -> None:
    event_folder(observed).mkdir(parents=True)
    for name, seconds in {"a.1": (1, 4), "a": (5, 8), "b": (2, 3, 6, 7)}.items():
        lines = [f'{{"time": "2026-11-30T00:00:0{second}Z", "n": {second}}}\n' for second in seconds]
        (event_folder(observed) / f"{name}.jsonl").write_text("".join(lines))
    assert [event["n"] for event in read_events(observed, EventQuery())] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [event["n"] for event in read_events(observed, EventQuery(), last=2)] == [7, 8]


def test_following_gives_what_comes_over_a_rotation(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, retention_log_megabytes=0.002)
    file = EventFile(settings)

    def say(number: int) -> None:
        file(json.dumps({"time": f"2026-11-30T00:00:{number:02}Z", "n": number, "fill": "x" * 200}) + "\n")

    say(0)
    coming = iter(range(1, 4))

    def wait(_: float) -> None:
        say(next(coming))

    followed = follow_events(settings, EventQuery(), wait)
    assert [next(followed)["n"] for _ in range(3)] == [1, 2, 3]
    assert len(event_files(settings)) > 1
