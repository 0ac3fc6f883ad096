"""Task workers as services of a home: one that dies is replaced with all that it left, and what it ran waits again at once."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from flows.profiles import choose_profile
from flows.supervision import task_workers
from flows.supervision.task_workers import replace_dead, start_task_workers, stop_surplus
from flows.workers.pool_choice import PoolChoice
from infra.catalogue import ProcessRole, open_catalogue
from infra.errors import SettingsError
from infra.services import stop_all
from infra.services.deaths import leader_number
from infra.settings import Settings

WORKER = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
time.sleep(600)
"""
"""A worker, and a process of its own."""
NAMES = ["task-worker-gpu-1", "task-worker-gpu-2"]


@pytest.fixture
def home(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    monkeypatch.setattr(task_workers, "worker_command", lambda pool: [sys.executable, "-c", WORKER])
    monkeypatch.setattr(task_workers, "visible_gpus", lambda: ("3", "4"))
    yield settings
    stop_all(settings)


def soon(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.05)


def number(name: str, settings: Settings) -> int:
    found = leader_number(name, settings)
    assert found is not None
    return found


def test_a_dead_one_is_replaced_on_its_gpu(home: Settings) -> None:
    assert start_task_workers(home, PoolChoice.GPU, 2) == NAMES
    first, second = (number(name, home) for name in NAMES)
    soon(lambda: bool(psutil.Process(second).children()))
    (left,) = psutil.Process(second).children()
    with open_catalogue(home) as catalogue:
        for name in ("flow", "worker"):
            role = ProcessRole.WORKER if name == "worker" else ProcessRole.FLOW
            catalogue.beat(name, role, f"{socket.gethostname()}:{second}", 1, ["mer-gpu"])
        catalogue.add_task("flow", "a", "{}", "mer-gpu")
        assert catalogue.take_task("worker", ["flow"], ["mer-gpu"]) is not None
        assert replace_dead(home) == [], "both live"
        os.kill(second, signal.SIGKILL)
        soon(lambda: replace_dead(home) == NAMES[1:])  # a busy machine takes a moment to end it
        (task,) = catalogue.queued_tasks()
        assert (task.worker, task.losses) == (None, 1)
    again = number(NAMES[1], home)
    assert again != second
    assert psutil.Process(again).environ()["CUDA_VISIBLE_DEVICES"] == "4"
    assert number(NAMES[0], home) == first
    soon(lambda: not left.is_running() or left.status() == psutil.STATUS_ZOMBIE)
    assert stop_surplus(home, PoolChoice.GPU, 1) == NAMES[1:]
    assert stop_surplus(home, PoolChoice.CPU, 0) == []
    assert replace_dead(home) == [], "one that was stopped stays so"
    assert stop_all(home) == NAMES[:1]


def test_a_plain_home_has_no_workers_of_a_profile(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MER_HOME", str(settings.home))
    choose_profile(full=False, cpu_workers=None, gpu_workers=None)
    assert not (settings.home / "profile.json").exists()
    with pytest.raises(
        SettingsError, match=r"found a plain home.*`mer worker --pool cpu\|gpu --count N --background`"
    ):
        choose_profile(full=False, cpu_workers=2, gpu_workers=None)
