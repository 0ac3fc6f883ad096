"""A clean-up that is killed before and after each thing it does leaves a whole store, and the next one finishes it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aged_home import pass_days
from fault_report import Faults
from invariants import check_invariants
from nights import Nights

from infra.settings import load_settings
from tasks.prune.run import PrunePlan, prune
from tasks.stage.work_record import WorkRecord, describe_work
from tasks.stage.workspace import workspace

pytestmark = pytest.mark.fault
KILLED = -9
PLAN = PrunePlan(days=5)

CHILD = """
import os, signal, sys
from pathlib import Path
import sqlite3

from sqlalchemy import event

at = int(sys.argv[1])
seen = 0

def step(*_):
    global seen
    seen += 1
    if seen == at:
        os.kill(os.getpid(), signal.SIGKILL)

def around(owner, name):
    real = getattr(owner, name)
    def counted(*arguments, **more):
        step()
        result = real(*arguments, **more)
        step()
        return result
    setattr(owner, name, counted)

around(Path, "unlink"); around(Path, "rename"); around(Path, "replace")
around(os, "unlink"); around(os, "rmdir")
from tasks.prune.run import PrunePlan, prune
from tasks.stage.workspace import workspace
space = workspace()
engine = space.catalogue.database.engine
event.listen(engine, "commit", step)

def changes(connection, cursor, statement, *more):
    if statement.startswith(("DELETE", "UPDATE")):
        step()

event.listen(engine, "before_cursor_execute", changes)
cleanup = prune(space, PrunePlan(days=5))
print(seen)
"""
"""Counts every file that is removed or moved, every statement that changes a row and every commit, and dies at one of them."""


@pytest.fixture(scope="module")
def long_used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with much to remove."""
    home = tmp_path_factory.mktemp("long-used") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MER_HOME", str(home))
        patch.setenv("MER_RETENTION_VERSIONS", "2")
        space = workspace()
        simulated = Nights(space, champion_every=2)
        for night in range(9):
            pass_days(space.settings, 1.5)
            simulated.new_clips()
            simulated.run(track=night == 0)
        folder = space.work / "fusion" / ("e" * 64)
        (folder / "inner").mkdir(parents=True)
        (folder / "inner" / "checkpoint.safetensors").write_bytes(b"of old code")
        describe_work(folder, WorkRecord("fusion", "", "0" * 16, ("tasks.prune.run:prune",), time.time()))
        pass_days(space.settings, 1.5)
        simulated.new_clips()
        simulated.run(track=False)
        space.catalogue.close()
    return home


def _killed_at(step: int, home: Path) -> tuple[int, str]:
    environment = {**os.environ, "MER_HOME": str(home), "MER_RETENTION_VERSIONS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(step)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, KILLED), done.stderr
    return done.returncode, done.stdout


@pytest.mark.parametrize("count", [5, pytest.param(0, marks=pytest.mark.nightly)])
def test_killed_clean_up(
    count: int, long_used: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: Faults
) -> None:
    """`count` kills evenly over the steps; 0: one at every step."""
    monkeypatch.setenv("MER_RETENTION_VERSIONS", "2")
    whole = tmp_path / "whole"
    shutil.copytree(long_used, whole, copy_function=shutil.copy2)
    code, printed = _killed_at(0, whole)
    assert code == 0
    steps = int(printed)
    assert steps > 100, "there is much to remove"
    expected = _what_is_there(whole)
    faults.row = "clean-up killed"
    for step in range(1, steps + 1, max(1, steps // count) if count else 1):
        home = tmp_path / f"home{step}"
        shutil.copytree(long_used, home, copy_function=shutil.copy2)
        assert _killed_at(step, home)[0] == KILLED
        faults.injected += 1
        settings = load_settings(home=home)
        check_invariants(settings, recovered=False)
        monkeypatch.setenv("MER_HOME", str(home))
        space = workspace()
        prune(space, PLAN)
        assert _what_is_there(home) == expected, f"killed at step {step} of {steps}"
        check_invariants(settings, recovered=True)
        space.catalogue.close()
        shutil.rmtree(home)


def _what_is_there(home: Path) -> set[str]:
    """Files of the home that a clean-up decides about, by name."""
    return {
        path.relative_to(home).as_posix()
        for folder in ("objects", "cache", "checkpoints", "logs")
        for path in (home / folder).rglob("*")
        if path.is_file()
    }
