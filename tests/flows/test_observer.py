"""Who is dead: a process of this machine that ended, one of another machine that stood still for long; nobody else."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from flows.supervision.client_retries import retries
from flows.supervision.dead_runs import SILENT_SECONDS, Observer
from infra.catalogue import RunProcessRow
from infra.catalogue.run_processes import executing_process
from infra.machine import ProcessName, boot_id

HERE = executing_process()
THERE = ProcessName("another-boot", "pid:[1]", os.getpid(), 8)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _row(process: ProcessName, beat: int = 0) -> RunProcessRow:
    return RunProcessRow(
        "key", "retrain", "host", process, "http://a/api", "id", None, beat, False, datetime.now(UTC)
    )


def test_a_living_process_of_this_machine_is_never_dead_however_silent() -> None:
    clock = Clock()
    observer = Observer(clock)
    for _ in range(10):
        assert not observer.dead([_row(HERE)])
        clock.now += SILENT_SECONDS


def test_an_ended_process_and_one_whose_number_was_given_again_are_dead_at_once() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    assert Observer().dead([_row(replace_process(HERE, number=int(ended.stdout)))])
    assert Observer().dead([_row(replace_process(HERE, start=HERE.start - 1))])


@pytest.mark.parametrize("process", [THERE, ProcessName(boot_id() or "", "pid:[0]", 1, 1)])
def test_a_process_elsewhere_is_dead_once_its_beat_stood_still(process: ProcessName) -> None:
    clock = Clock()
    observer = Observer(clock)
    assert not observer.dead([_row(process, 5)])
    clock.now += SILENT_SECONDS - 1
    assert not observer.dead([_row(process, 5)])
    assert not observer.dead([_row(process, 6)]), "it beat"
    clock.now += SILENT_SECONDS - 1
    assert not observer.dead([_row(process, 6)])
    clock.now += 1
    assert observer.dead([_row(process, 6)])
    assert not observer.dead([_row(process, 7)]), "a beat that comes late is one of a living process"


def test_of_several_records_the_dead_are_named() -> None:
    dead = replace(_row(replace_process(HERE, start=HERE.start - 1)), key="dead")
    assert [row.key for row in Observer().dead([_row(HERE), dead, _row(THERE)])] == ["dead"]


def replace_process(process: ProcessName, **changes: int) -> ProcessName:
    return process._replace(**changes)


@pytest.mark.parametrize(("seconds", "count"), [(1, 5), (49, 5), (51, 6), (90, 6), (101, 7), (600, 9)])
def test_clients_try_for_longer_than_a_run_waits(seconds: float, count: int) -> None:
    assert int(retries(seconds)) == count
    assert 0.8 * sum(2**attempt for attempt in range(1, count + 1)) > seconds
