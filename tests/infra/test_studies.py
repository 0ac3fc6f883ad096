from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from infra.settings import Settings
from infra.studies import Heartbeats, open_study

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")]

WORKER = """
import sys, time, warnings
warnings.simplefilter("ignore")
from infra.settings import load_settings
from infra.studies import Heartbeats, open_study
def objective(trial):
    trial.suggest_float("x", 0, 1)
    print("running", flush=True)
    time.sleep(600)
open_study(load_settings(), "killed", heartbeats=Heartbeats(1, 3)).optimize(objective, n_trials=1)
"""


@pytest.fixture(params=["sqlite", "postgres"])
def study_settings(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    if request.param == "sqlite":
        return settings
    fresh: Callable[[], str] = request.getfixturevalue("fresh_postgres")
    return settings.model_copy(update={"optuna_storage_url": SecretStr(fresh())})


def test_a_study_is_continued_and_begins_with_the_defaults(study_settings: Settings) -> None:
    for _ in range(2):
        study = open_study(study_settings, "s", seed=1, defaults={"x": 0.25})
        study.optimize(lambda trial: -((trial.suggest_float("x", 0, 1) - 0.3) ** 2), n_trials=3)
        trials = study.trials
    assert len(trials) == 6
    assert trials[0].params == {"x": 0.25}
    assert [t.params["x"] for t in trials].count(0.25) == 1


def test_the_trial_of_a_killed_worker_is_tried_again(settings: Settings) -> None:
    environment = {**os.environ, "MER_HOME": str(settings.home), "PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen(
        [sys.executable, "-c", WORKER], env=environment, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline().strip() == "running"
        os.kill(worker.pid, signal.SIGKILL)
    time.sleep(4)
    study = open_study(settings, "killed", heartbeats=Heartbeats(1, 3))
    # The stale trial is noticed before the first trial and queued: the next one repeats its parameters.
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    trials = study.trials
    (dead,) = [trial for trial in trials if trial.state.name == "FAIL"]
    assert any(trial.params == dead.params and trial.state.name == "COMPLETE" for trial in trials)
