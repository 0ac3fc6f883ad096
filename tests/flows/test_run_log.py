"""What the terminal says of a run is in its log at Prefect, at a rate that people can read."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest
from rich.table import Table

from flows import run_log
from flows.run_log import PROGRESS_SECONDS, RunLog
from flows.terminal import Terminal, heard_by
from infra.hidden_secrets import hide


class Kept(logging.Handler):
    """A handler that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def messages(self) -> list[str]:
        return [record.getMessage() for record in self.records]


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def terminal() -> Terminal:
    import io

    return Terminal(file=io.StringIO(), width=40, force_terminal=True, highlight=False)


def test_lines_come_plain_whole_and_of_this_run(kept: Kept, terminal: Terminal) -> None:
    with heard_by(RunLog(kept, "run 1")):
        terminal.print("[bold]\\[2/9] features[/] of a line that is longer than the terminal is wide")
        terminal.print("  [green]ok[/]  ", end="")
        terminal.print("[not markup] canary fell", markup=False)
        terminal.print()
    terminal.print("after the run")
    assert kept.messages == [
        "[2/9] features of a line that is longer than the terminal is wide",
        "  ok  [not markup] canary fell",
    ]
    assert {record.__dict__["flow_run_id"] for record in kept.records} == {"run 1"}
    assert {record.levelno for record in kept.records} == {logging.INFO}


def test_a_table_is_one_message(kept: Kept, terminal: Terminal) -> None:
    table = Table("system", "WAF")
    table.add_row("fused", ".512")
    with heard_by(RunLog(kept, "run")):
        terminal.print(table)
    assert len(kept.messages) == 1 and "fused" in kept.messages[0] and "\n" in kept.messages[0]
    assert all(line == line.rstrip() for line in kept.messages[0].splitlines())


def test_progress_is_told_at_a_rate(kept: Kept, terminal: Terminal) -> None:
    now = [0.0]
    with heard_by(RunLog(kept, "run", clock=lambda: now[0])):
        for number in range(1000):
            terminal.progress(f"shard {number}")
            now[0] += PROGRESS_SECONDS / 100
        terminal.print("features: done")
    assert kept.messages[0] == "shard 0" and kept.messages[-1] == "features: done"
    assert 10 <= len(kept.messages) <= 12


def test_threads_do_not_mix_their_lines(kept: Kept, terminal: Terminal) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slowly() -> None:
        terminal.print("slow ", end="")
        began.set()
        go_on.wait(5)
        terminal.print("line")

    with heard_by(RunLog(kept, "run")):
        thread = threading.Thread(target=slowly)
        thread.start()
        began.wait(5)
        terminal.print("quick line")
        go_on.set()
        thread.join(5)
    assert kept.messages == ["quick line", "slow line"]


def test_secrets_are_hidden(kept: Kept, terminal: Terminal) -> None:
    hide(["open-sesame"])
    with heard_by(RunLog(kept, "run")):
        terminal.print("the server at http://mer:open-sesame@host:1/api")
    assert "open-sesame" not in kept.messages[0]


def test_outside_of_a_run_nothing_is_sent(monkeypatch: pytest.MonkeyPatch, terminal: Terminal) -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("a handler was made")

    monkeypatch.setattr(run_log, "APILogHandler", refuse)
    with run_log.logged_run():
        terminal.print("plainly")
