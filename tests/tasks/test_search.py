"""Searches that several workers share, one of which may be killed: real processes, a real database."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from infra.settings import Settings
from infra.studies import (
    SURPLUS,
    Halving,
    Heartbeats,
    dashboard_command,
    finished_trials,
    open_study,
    settle_terms,
)

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")]
WORKER = Path(__file__).parent / "search_worker.py"


def worker(settings: Settings, study: str, planned: int, batch: int, *more: str) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "MER_HOME": str(settings.home),
        "MER_OPTUNA_STORAGE_URL": settings.optuna_storage_url.get_secret_value(),
        "PYTHONPATH": str(Path.cwd()),
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.Popen(
        [sys.executable, str(WORKER), study, str(planned), str(batch), *more],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def on_postgres(settings: Settings, fresh_postgres: Callable[[], str]) -> Settings:
    return settings.model_copy(update={"optuna_storage_url": SecretStr(fresh_postgres())})


def test_a_worker_killed_in_the_middle_costs_no_trial_and_counts_none_twice(on_postgres: Settings) -> None:
    # opened here first: two workers that create the tables at once is Optuna's business, not ours
    open_study(on_postgres, "shared", heartbeats=Heartbeats(1, 3), halving=Halving(2))
    doomed = worker(on_postgres, "shared", 10, 4, "100000")  # would train for hours
    assert doomed.stdout is not None and doomed.stdout.readline().strip() == "training"
    os.kill(doomed.pid, signal.SIGKILL)
    doomed.wait()
    doomed.stdout.close()
    others = [worker(on_postgres, "shared", 10, 3) for _ in range(2)]
    for other in others:
        other.communicate(timeout=180)
    assert [other.returncode for other in others] == [0, 0]

    study = open_study(on_postgres, "shared", heartbeats=Heartbeats(1, 3))
    trials = study.get_trials(deepcopy=False)
    assert len(finished_trials(study)) == 10
    dead = [t for t in trials if t.state.name == "FAIL" and SURPLUS not in t.user_attrs]
    assert len(dead) == 4
    again = {
        t.system_attrs["failed_trial"]: t for t in finished_trials(study) if "failed_trial" in t.system_attrs
    }
    assert sorted(again) == sorted(t.number for t in dead)  # each once
    for number, trial in again.items():
        asked = trials[number].params
        assert {name: trial.params[name] for name in asked} == asked
    assert not [t for t in trials if t.state.name == "RUNNING"]


def test_trials_of_two_workers_differ_and_their_number_is_exact(on_postgres: Settings) -> None:
    open_study(on_postgres, "two", heartbeats=Heartbeats(1, 3))
    both = [worker(on_postgres, "two", 7, 5) for _ in range(2)]
    for one in both:
        one.communicate(timeout=180)
    finished = finished_trials(open_study(on_postgres, "two"))
    assert len(finished) == 7
    assert len({tuple(sorted(t.params.items())) for t in finished}) == 7


@pytest.mark.parametrize("sampler", ["gp", "nsga2"])
def test_the_other_samplers_search_as_well(settings: Settings, sampler: str) -> None:
    """Past the draws at random that a Gaussian process begins with; no two trials of a batch alike."""
    one = worker(settings, sampler, 16, 4, "3", sampler)
    out, _ = one.communicate(timeout=300)
    assert one.returncode == 0, out
    finished = finished_trials(open_study(settings, sampler))
    assert len(finished) == 16
    assert len({tuple(sorted(trial.params.items())) for trial in finished}) == 16
    assert {"model", "hidden", "dropout"} <= set(finished[-1].params)


def test_a_study_is_of_one_recipe_and_space(settings: Settings) -> None:
    study = open_study(settings, "s")
    assert settle_terms(study, "one") == "one"
    assert settle_terms(open_study(settings, "s"), "another") == "one"
    began = open_study(settings, "older")
    began.optimize(lambda trial: trial.suggest_float("layer", 0, 1), n_trials=1)
    assert settle_terms(began, "one") == "", "trials of before say nothing of what they were about"


def test_optunas_dashboard_shows_the_studies(settings: Settings) -> None:
    pytest.importorskip("optuna_dashboard", reason="the extra dashboard is not installed")
    study = open_study(settings, "shown")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    program, address = shlex.split(dashboard_command(settings))
    assert program == "optuna-dashboard"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).parent / program), address, "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            assert "shown" in _answer(f"http://127.0.0.1:{port}/api/studies", seconds=60)
        finally:
            running.terminate()


def _answer(address: str, seconds: float) -> str:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return httpx.get(address, timeout=10).raise_for_status().text
        except httpx.HTTPError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
