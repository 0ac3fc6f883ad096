"""A worker that is dead is known to be, one that computes for long is not taken for dead: with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil
import pytest
from fault_report import Faults

from flows.workers.pools import CPU
from flows.workers.watch import QueueWatch
from infra.catalogue import Catalogue, ProcessRole, open_catalogue

pytestmark = pytest.mark.fault

T = TypeVar("T")
SCRIPT = Path(__file__).with_name("worker_of_tests.py")


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    with open_catalogue(f"sqlite:///{tmp_path / 'home' / 'catalogue.db'}") as opened:
        yield opened


class Processes:
    """Workers of a home, real ones."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        plain = {
            name: value for name, value in os.environ.items() if not name.startswith(("MER_", "PREFECT_"))
        }
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT)],
            env={**plain, "MER_HOME": str(self.home), "PREFECT_HOME": str(self.home / "prefect")},
            cwd=Path(__file__).parents[2],
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def end(self) -> None:
        for process in self.started:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Processes]:
    made = Processes(tmp_path / "home")
    yield made
    made.end()


def eventually(look: Callable[[], T | None], seconds: float = 60.0) -> T:
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.1)
    return seen


def beat(catalogue: Catalogue) -> int:
    rows = [row for row in catalogue.task_processes() if row.role is ProcessRole.WORKER]
    return rows[0].beat if len(rows) == 1 else 0


def taken_by(catalogue: Catalogue) -> str | None:
    return next((task.worker for task in catalogue.queued_tasks() if task.worker), None)


def test_a_computation_that_lets_nothing_else_run_is_alive_until_it_is_killed(
    catalogue: Catalogue, workers: Processes, faults: Faults
) -> None:
    """Long computation, lost heartbeat, halt, kill: with one worker after the other."""
    faults.row, faults.injected = "heartbeats of task workers", 3
    with QueueWatch(catalogue, timeout_seconds=60.0, patience_seconds=30.0) as queue:
        first = workers.start()
        task = catalogue.add_task(queue.identity, "__main__.hold_everything", '{"seconds":600}', CPU)
        lost = eventually(lambda: taken_by(catalogue))
        seen = eventually(lambda: beat(catalogue))
        eventually(lambda: beat(catalogue) > seen + 3, 30)

        (heart,) = psutil.Process(first.pid).children()
        heart.kill()  # its worker computes and cannot see it: nobody is lost by that alone
        heart.wait()
        assert taken_by(catalogue) == lost

        first.send_signal(signal.SIGSTOP)
        first.send_signal(signal.SIGKILL)
        first.wait()
        assert catalogue.end_process(lost)  # what watchers do after 30 s of silence

        second = workers.start()
        again = eventually(lambda: taken_by(catalogue))
        (heart,) = psutil.Process(second.pid).children()
        seen = eventually(lambda: beat(catalogue))
        eventually(lambda: beat(catalogue) > seen, 30)
        second.send_signal(signal.SIGSTOP)
        time.sleep(2.0)
        seen = beat(catalogue)
        time.sleep(3.0)
        assert beat(catalogue) == seen, "a halted worker must not beat"

        os.killpg(second.pid, signal.SIGKILL)
        second.wait()
        eventually(lambda: taken_by(catalogue) is None, 10)
        (state,) = catalogue.queued_tasks()
        assert (state.id, state.losses) == (task, 2)
        assert again not in [row.id for row in catalogue.task_processes()]
        heart.wait(10)


def test_a_lost_heartbeat_begins_anew(catalogue: Catalogue, workers: Processes, faults: Faults) -> None:
    faults.row, faults.injected = "heartbeats of task workers", 1
    worker = workers.start()
    eventually(lambda: beat(catalogue) > 1)
    (heart,) = psutil.Process(worker.pid).children()
    heart.kill()
    eventually(lambda: beat(catalogue) > 1_000_000)
    with QueueWatch(catalogue, timeout_seconds=60.0, patience_seconds=30.0) as queue:
        assert queue.run("__main__.answer", '{"number":41}', CPU).outcome == '{"value":42}'
