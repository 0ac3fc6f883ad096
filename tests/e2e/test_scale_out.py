"""Where tasks run changes nothing: processes, Prefect workers, a Dask and a Ray cluster give the bytes that threads give."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from e2e_installation import TINY, Installation
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
def workers(installation: Installation, count: int) -> Iterator[None]:
    """Prefect task workers of this installation, as processes."""
    environment = installation.variables()
    running = [
        subprocess.Popen(
            installation.command("worker"),
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(count)
    ]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


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
    with workers(elsewhere, 2 if runner == "workers" else 0):
        assert features(elsewhere) == by_threads
    assert len(by_threads) == 6, "three streams of two shards"
