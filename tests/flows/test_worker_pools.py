"""Which worker runs which task, and on what."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows.workers.gpus import VISIBLE, own_devices, visible_gpus
from flows.workers.pool_choice import PoolChoice
from flows.workers.pools import CPU, GPU, pool_of, pools_of, start_command
from flows.workers.serve import all_tasks

ROOT = Path(__file__).resolve().parents[2]


def test_tasks_tagged_gpu_are_of_the_gpu_pool_and_all_others_of_the_cpu_pool() -> None:
    pools = {task.name: pool_of(task.tags) for task in all_tasks()}
    assert {pools[name] for name in ("extract shard", "adapt", "align", "fuse", "layer study")} == {GPU}
    assert {pools[name] for name in ("probe shard", "measure quality", "combine", "register")} == {CPU}
    assert {pool for choice in PoolChoice for pool in pools_of(choice)} == {CPU, GPU}
    assert (start_command(GPU), start_command(CPU)) == ("mer worker --pool gpu", "mer worker --pool cpu")


def test_flows_hand_out_every_task_tagged_gpu() -> None:
    """One that a flow calls itself would be computed by the flow's process, which has no GPU of its own."""
    functions = {task.fn.__name__ for task in all_tasks() if pool_of(task.tags) == GPU}
    called = [
        f"{path.name}:{node.lineno} {node.func.id}"
        for path in (ROOT / "flows").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in functions
    ]
    assert not called
    assert "fuse_view" in functions


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose driver answers what the test writes; nothing is chosen yet."""
    driver = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv(VISIBLE, raising=False)
    return driver


def answers(driver: Path, script: str) -> None:
    driver.write_text(f"#!/bin/sh\n{script}\n")
    driver.chmod(0o755)


def test_gpus_are_those_of_the_driver_or_those_that_are_named(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(machine, "printf '0\\n1\\n2\\n'")
    assert visible_gpus() == ("0", "1", "2")
    answers(machine, "echo 'NVIDIA-SMI has failed'; exit 9")
    assert visible_gpus() == ()
    answers(machine, "echo 'No devices were found'")
    assert visible_gpus() == ()
    for named, gpus in (("", ()), ("1", ("1",)), ("GPU-a, 2", ("GPU-a", "2")), ("0,-1,2", ("0",))):
        monkeypatch.setenv(VISIBLE, named)
        assert visible_gpus() == gpus


def test_each_gpu_worker_has_one_of_its_own_and_a_cpu_worker_none() -> None:
    gpus = ("0", "3")
    assert [own_devices(PoolChoice.GPU, number, gpus)[VISIBLE] for number in range(3)] == ["0", "3", "0"]
    assert own_devices(PoolChoice.CPU, 0, gpus) == {VISIBLE: ""}
    assert own_devices(PoolChoice.GPU, 0, ()) == own_devices(PoolChoice.ALL, 0, gpus) == {}


CREW = """
import sys
from flows.workers import crew
from flows.workers.pool_choice import PoolChoice
crew.worker_command = lambda pool, *more: [sys.executable, "-c", sys.argv[1], *more]
crew.SHORT_LIFE_SECONDS = 0.0
crew.run_crew(PoolChoice.GPU, 2, ("4", "5"))
"""
MEMBER = f"""
import os, subprocess, sys, time
from flows.workers.crew import end_with
end_with(int(sys.argv[2]))
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
os.write(1, f"gpu {{os.environ['{VISIBLE}']}} pid {{os.getpid()}}\\n".encode())  # whole: two processes write to one pipe
time.sleep(600)
"""


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", CREW, MEMBER], env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    with process:
        yield process
        process.kill()


def members(process: subprocess.Popen[str], count: int) -> dict[int, str]:
    """Process -> GPU of workers that say themselves, as they come."""
    assert process.stdout is not None
    said: dict[int, str] = {}
    while len(said) < count:
        words = process.stdout.readline().split()
        assert words, "the crew ended"
        if words[0] == "gpu":
            said[int(words[3])] = words[1]
    return said


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_a_worker_of_a_crew_that_is_killed_is_replaced_on_its_gpu(
    ending: signal.Signals, crew: subprocess.Popen[str]
) -> None:
    first = members(crew, 2)
    assert sorted(first.values()) == ["4", "5"]
    lost = next(pid for pid, gpu in first.items() if gpu == "5")
    left = psutil.Process(lost).children()
    os.kill(lost, signal.SIGKILL)
    again = members(crew, 1)
    assert list(again.values()) == ["5"]
    assert not [child for child in left if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    crew.send_signal(ending)
    crew.wait(30)
    deadline = time.monotonic() + 20
    alive = [pid for pid in (*first, *again) if pid != lost]
    while any(psutil.pid_exists(pid) and is_alive(pid) for pid in alive):
        assert time.monotonic() < deadline, "workers outlive their crew"
        time.sleep(0.1)


def is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
