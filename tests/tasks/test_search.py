"""Searches that several workers share, one of which may be killed: real processes, a real database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from infra.settings import Settings
from infra.studies import SURPLUS, finished_trials, open_study

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
    open_study(on_postgres, "shared", heartbeat_seconds=1, grace_seconds=3, first_rung=2)
    doomed = worker(on_postgres, "shared", 10, 4, "100000")  # would train for hours
    assert doomed.stdout is not None and doomed.stdout.readline().strip() == "training"
    os.kill(doomed.pid, signal.SIGKILL)
    doomed.wait()
    doomed.stdout.close()
    others = [worker(on_postgres, "shared", 10, 3) for _ in range(2)]
    for other in others:
        other.communicate(timeout=180)
    assert [other.returncode for other in others] == [0, 0]

    study = open_study(on_postgres, "shared", heartbeat_seconds=1, grace_seconds=3)
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
    open_study(on_postgres, "two", heartbeat_seconds=1, grace_seconds=3)
    both = [worker(on_postgres, "two", 7, 5) for _ in range(2)]
    for one in both:
        one.communicate(timeout=180)
    finished = finished_trials(open_study(on_postgres, "two"))
    assert len(finished) == 7
    assert len({tuple(sorted(t.params.items())) for t in finished}) == 7
