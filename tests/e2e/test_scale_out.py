"""Where tasks run changes nothing: processes, Prefect workers, a Dask and a Ray cluster give the bytes that threads give."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from e2e_installation import TINY, Installation
from prefect_runs import ShownRuns, wait_until
from registered_shards import registered_shards

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def by_threads(
    tmp_path_factory: pytest.TempPathFactory, demo_corpus: Path, server_addresses: dict[str, str]
) -> dict[tuple[str, str], str]:
    made = Installation(tmp_path_factory.mktemp("threads") / "home", demo_corpus, server_addresses)
    return features(made)


def features(installation: Installation) -> dict[tuple[str, str], str]:
    arguments = ("--recipe", str(TINY), "--corpus", str(installation.corpus), "--name", "tiny")
    installation.mer("features", *arguments)
    return {(key, shard.key): shard.sha256 for key, shard in registered_shards(installation.settings())}


@contextmanager
def workers(installation: Installation, *commands: tuple[str, ...]) -> Iterator[None]:
    """Task workers of this installation, a process for each command."""
    running = [
        subprocess.Popen(
            installation.command("worker", *options),
            env=installation.variables(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for options in commands
    ]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def who_ran(installation: Installation) -> dict[str, set[str]]:
    """Name of a task -> tags of its runs in the last flow run, all of which say who ran them."""
    shown = ShownRuns(installation)
    last = max(shown.flow_runs(["COMPLETED"]), key=lambda run: str(run["start_time"]))
    wait_until(
        lambda: not shown.task_runs(last["id"]), 30
    )  # what Prefect records comes a little after its flow
    tags: dict[str, set[str]] = {}
    for run in shown.task_runs(last["id"], ["COMPLETED"]):
        assert sum(tag.startswith("worker:") for tag in run["tags"]) == 1, run["name"]
        tags.setdefault(run["name"].rpartition("-")[0], set()).update(run["tags"])
    return tags


@pytest.mark.parametrize(
    "runner",
    [
        "processes",
        "workers",
        pytest.param("dask", marks=pytest.mark.nightly),
        pytest.param("ray", marks=pytest.mark.nightly),
    ],
)
def test_features_are_the_same_bytes(
    runner: str,
    by_threads: dict[tuple[str, str], str],
    tmp_path: Path,
    demo_corpus: Path,
    server_addresses: dict[str, str],
) -> None:
    if runner in ("dask", "ray"):
        pytest.importorskip(f"prefect_{runner}", reason=f"the extra {runner} is not installed")
    environment = {**server_addresses, "MER_TASK_RUNNER": runner, "MER_TASK_WORKERS": "2"}
    elsewhere = Installation(tmp_path / "home", demo_corpus, environment)
    crew = [("--pool", "cpu"), ("--pool", "gpu", "--count", "2")] if runner == "workers" else []
    with workers(elsewhere, *crew):
        assert features(elsewhere) == by_threads
    assert len(by_threads) == 6, "three streams of two shards"
    if runner == "workers":
        ran = who_ran(elsewhere)
        assert {"gpu", "mer-gpu"} < ran["extract shard"]
        assert "mer-cpu" in ran["probe shard"]
        assert not ran["extract shard"] & ran["probe shard"], "no worker of one pool took a task of the other"
