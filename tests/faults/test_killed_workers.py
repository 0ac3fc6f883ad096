"""kill -9 of task workers in a run: the run completes, and ends with the weights of an undisturbed one."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e_installation import Installation
from fault_report import Faults
from invariants import HELD, check_invariants, within
from worker_crew import Crew, output_of

from infra.artifacts import ArtifactStore
from infra.objects import open_store
from mer.demo import DemoConfig, generate_demo

pytestmark = pytest.mark.fault

RECIPE = Path(__file__).parent / "killed_workers.yaml"
RUN_SECONDS = 600.0
"""A run of some 30 s, on a busy machine, with every worker's imports again."""
PICKLES = (b"\x80\x04\x95", b"\x80\x05\x95", b"gASV", b"gAWV")
"""How pickles of protocols 4 and 5 begin, plain and in base64."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 files: 36 usable clips and four broken ones."""
    return generate_demo(tmp_path_factory.mktemp("demo") / "corpus", DemoConfig(clips=40, seed=5))


@pytest.fixture(scope="module")
def servers(server_addresses: dict[str, str]) -> dict[str, str]:
    return server_addresses


def arguments(corpus: Path) -> tuple[str, ...]:
    return ("run", "--recipe", str(RECIPE), "--corpus", str(corpus), "--name", "killed")


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, corpus: Path, servers: dict[str, str]
) -> Installation:
    """A home whose run nobody disturbed, in threads of one process."""
    home = Installation(tmp_path_factory.mktemp("undisturbed") / "home", corpus, servers)
    home.mer(*arguments(corpus))
    return home


def final_weights(home: Installation) -> dict[str, str]:
    """I3: sha256 of every file of the registered version (so few clips pass no gate: it is no champion)."""
    with home.catalogue() as catalogue:
        (version,) = catalogue.model_versions("killed")
    files = (
        ArtifactStore(open_store(home.settings()), home.settings().cache_folder)
        .manifest(version.artifact)
        .files
    )
    HELD.update(["I3"])
    return {name: entry.sha256 for name, entry in files.items()}


@pytest.fixture
def home(tmp_path: Path, corpus: Path, servers: dict[str, str]) -> Installation:
    return Installation(tmp_path / "home", corpus, {**servers, "MER_TASK_RUNNER": "workers"})


@pytest.mark.timeout(3600)
@pytest.mark.nightly
@pytest.mark.parametrize("kills", [5, 30])
def test_killed_workers(
    kills: int, undisturbed: Installation, home: Installation, faults: Faults, tmp_path: Path
) -> None:
    faults.row = "kill -9 of task workers at random"
    draw = random.Random(kills)
    said = tmp_path / "run.log"
    with said.open("wb") as log, Crew(home, ["gpu", "gpu", "cpu"]) as crew, within(RUN_SECONDS):
        run = subprocess.Popen(
            home.command(*arguments(home.corpus)), env=home.variables(), stdout=log, stderr=subprocess.STDOUT
        )
        try:
            faults.injected = crew.kill_while(lambda: run.poll() is None, kills, draw)
            run.wait(RUN_SECONDS)
        except subprocess.TimeoutExpired:
            pytest.fail(f"I9: the run hangs:\n{output_of(said)[-3000:]}\nworkers:\n{crew.said[-3000:]}")
        finally:
            run.kill()
    assert run.returncode == 0, output_of(said)[-3000:] + crew.said[-3000:]
    assert faults.injected == kills, "the run ended before all kills"
    assert final_weights(home) == final_weights(undisturbed)
    assert home.results() == undisturbed.results()
    check_invariants(home.settings(), recovered=True)
    for path in home.home.rglob("*"):
        if path.is_file() and path.suffix != ".npz":
            data = path.read_bytes()
            assert not any(data.startswith(begin) or begin in data[:4096] for begin in PICKLES), path
    with home.catalogue() as catalogue:
        assert catalogue.queued_tasks() == []
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with home.catalogue() as catalogue:
            if not catalogue.task_processes():
                break
        time.sleep(0.1)
    else:
        pytest.fail("processes are left in the catalogue")


def test_no_worker(home: Installation, faults: Faults, tmp_path: Path) -> None:
    """One line within a minute, then silence, and a typed error after the stated time-out."""
    faults.row, faults.injected = "no task worker at all", 1
    said, stated = tmp_path / "run.log", 30.0
    impatient = {**home.variables(), "MER_WORKER_TIMEOUT_SECONDS": str(stated)}
    with said.open("wb") as log:
        run = subprocess.Popen(
            home.command(*arguments(home.corpus)), env=impatient, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        soon(lambda: "[1/" in output_of(said), 120, run)
        with within(stated):
            soon(lambda: "no worker of pool mer-cpu is running" in output_of(said), 60, run)
            assert run.wait(2 * stated) == 1
    finally:
        run.kill()
        run.wait()
    text = output_of(said)
    assert text.count("no worker of pool mer-cpu is running") == 1
    assert "mer: 3 tasks waited 3" in text
    assert text.count("`mer worker --pool cpu`") == 2, "in the line, and in the error"
    assert "Traceback" not in text
    with home.catalogue() as catalogue:
        assert catalogue.queued_tasks() == []
        assert catalogue.task_processes() == []


def soon(seen: Callable[[], bool], seconds: float, run: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline, "not said in time"
        assert run.poll() is None, "the run ended"
        time.sleep(0.2)
