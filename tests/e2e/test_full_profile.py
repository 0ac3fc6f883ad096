"""A home of profile full as a person has it: made by one command, its dead are replaced, its data outlive `mer down`."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from e2e_installation import TINY, Installation
from prefect_runs import ShownRuns, wait_until

from infra.services import is_healthy, running_address
from infra.services.deaths import leader_number
from infra.services.home_secrets import made_up_secret

pytestmark = [pytest.mark.slow, pytest.mark.nightly]

SERVERS = ("postgres", "s3", "prefect", "mlflow", "metrics", "serve")
WORKERS = ("task-worker-cpu-1", "task-worker-gpu-1", "task-worker-gpu-2")
REPLACED_SECONDS = 300.0


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, demo_corpus: Path) -> Iterator[Installation]:
    made = Installation(tmp_path_factory.mktemp("full") / "home", demo_corpus)
    try:
        made.mer("up", "--profile", "full", "--gpu-workers", "2")
        yield made
    finally:
        made.mer("down")


def features(full: Installation) -> str:
    arguments = ("--recipe", str(TINY), "--corpus", str(full.corpus), "--name", "tiny")
    return full.mer("features", *arguments).stdout


def test_every_task_run_says_which_worker_of_which_pool_ran_it(full: Installation) -> None:
    assert "tasks of pool mer-gpu computed for" in features(full)
    address = running_address("prefect", full.settings())
    shown = ShownRuns(full, f"{address}/api")
    (run,) = shown.flow_runs(["COMPLETED"])
    wait_until(lambda: not shown.task_runs(run["id"]), 30)
    tags = [set(task["tags"]) for task in shown.task_runs(run["id"], ["COMPLETED"])]
    assert all(sum(tag.startswith("worker:") for tag in each) == 1 for each in tags)
    assert all(("mer-gpu" in each) == ("gpu" in each) for each in tags)
    assert {"mer-gpu", "mer-cpu"} <= set().union(*tags)
    on_gpu = {tag for each in tags if "gpu" in each for tag in each if tag.startswith("worker:")}
    assert len(on_gpu) == 2, "both gpu workers took shards"
    assert not (full.home / "catalogue.db").exists()
    assert not (full.home / "objects").exists()


def test_who_dies_is_replaced(full: Installation) -> None:
    settings = full.settings()
    before = {name: leader_number(name, settings) for name in (*SERVERS, *WORKERS)}
    for name, number in before.items():
        assert number, name
        os.kill(number, signal.SIGKILL)

    def replaced() -> bool:
        now = {name: leader_number(name, settings) for name in before}
        changed = all(now[name] not in (None, 0, number) for name, number in before.items())
        return changed and all(psutil.pid_exists(number or 0) for number in now.values())

    wait_until(replaced, REPLACED_SECONDS)
    wait_until(lambda: all(is_healthy(name, settings) for name in SERVERS), REPLACED_SECONDS)
    status = full.mer("status").stdout
    assert "does not answer" not in status
    assert all(f"{name}: runs" in status for name in WORKERS)


def test_its_data_outlive_a_stop(full: Installation) -> None:
    assert set(full.mer("down").stdout.replace(",", " ").split()) >= {*SERVERS, *WORKERS}
    said = full.mer("models", check=False)
    assert said.returncode == 1
    assert "(profile full), do not run: `mer up` starts them" in said.stderr
    full.mer("up")
    with full.catalogue() as catalogue:
        assert len(catalogue.clips("tiny")) > 30
    assert "task-worker-gpu-2: runs" in full.mer("status").stdout, "as many workers as before"


def test_passwords_are_in_no_argument(full: Installation) -> None:
    settings = full.settings()
    passwords = [made_up_secret(settings, name) for name in SERVERS]
    lines = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert not [line for line in lines if any(password in line for password in passwords)]
    assert not [name for name in passwords if name in json.dumps((full.home / "profile.json").read_text())]
