"""kill -9 of the Prefect server in mid-run: the local one comes back, the run goes on; where none does, one line and a resume."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from e2e_installation import Installation
from prefect_runs import ShownRuns, wait_until
from refresh_corpus import RECIPE, make_corpus

from infra.services import start, stop_all
from infra.services.home_secrets import prefect_auth_string
from infra.services.process import ServiceProcess
from infra.settings import Settings, load_settings

pytestmark = [pytest.mark.slow, pytest.mark.nightly, pytest.mark.timeout(1800)]

TIMEOUT_SECONDS = 20.0


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Precomputed features: a run of all stages takes seconds."""
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return make_corpus(tmp_path / "corpus")


@pytest.fixture
def undisturbed(tmp_path: Path, corpus: Path, server_addresses: dict[str, str]) -> Installation:
    """A home in which one run has ended."""
    home = Installation(tmp_path / "undisturbed", corpus, server_addresses)
    home.mer(*_arguments(home))
    return home


@pytest.mark.parametrize("moment", ["[2/", "[3/", "[5/"])
def test_a_run_outlives_the_death_of_its_local_server(
    moment: str, undisturbed: Installation, server_addresses: dict[str, str], tmp_path: Path
) -> None:
    mlflow = {name: value for name, value in server_addresses.items() if "MLFLOW" in name}
    home = Installation(tmp_path / "home", undisturbed.corpus, mlflow)
    try:
        process, output = _started(home)
        _wait_for_line(output, moment, process)
        address = _kill_server(home.settings())
        assert process.wait(timeout=500) == 0, output.read_text()[-3000:]
        said = output.read_text()
        assert "does not answer" not in said and "ERROR" not in said, (
            "a server that comes back is not the user's business"
        )
        shown = ShownRuns(home, f"{address}/api")
        (run,) = shown.flow_runs(("COMPLETED",))
        wait_until(lambda: not shown.task_runs(str(run["id"])), 60)
        assert not shown.flow_runs()
        assert home.results() == undisturbed.results()
    finally:
        stop_all(home.settings())


def test_a_server_that_stays_away_ends_the_run_in_one_line_and_the_same_command_goes_on(
    undisturbed: Installation, server_addresses: dict[str, str], tmp_path: Path
) -> None:
    server = load_settings(home=tmp_path / "server")
    try:
        api, password = f"{start('prefect', server)}/api", prefect_auth_string(server)
        assert password is not None
        away = {
            "MER_PREFECT_API_URL": api,
            "MER_PREFECT_AUTH_STRING": password.get_secret_value(),
            "MER_PREFECT_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
        }
        home = Installation(tmp_path / "home", undisturbed.corpus, {**server_addresses, **away})
        process, output = _started(home)
        _wait_for_line(output, "[2/", process)
        stop_all(server)
        before, began = len(output.read_text()), time.monotonic()
        assert process.wait(timeout=3 * TIMEOUT_SECONDS) == 1
        assert time.monotonic() - began <= 2 * TIMEOUT_SECONDS
        said = [line for line in output.read_text()[before:].splitlines() if line.startswith("mer: ")]
        assert len(said) == 1 and f"the Prefect server at {api} has not answered for" in said[0], said
        assert "the same command goes on where it stopped" in said[0]
        assert "Traceback" not in output.read_text() and "Error" not in output.read_text()
        start("prefect", server)
        home.mer(*_arguments(home))
        assert home.results() == undisturbed.results()
        shown = ShownRuns(home)
        wait_until(lambda: not shown.flow_runs(), 30)
        ends = [run["state_type"] for run in shown.flow_runs(("COMPLETED", "CRASHED"))]
        assert sorted(ends) == ["COMPLETED", "CRASHED"]
    finally:
        stop_all(server)


def _arguments(home: Installation) -> tuple[str, ...]:
    recipe = home.home.parent / "recipe.yaml"
    return ("run", "--recipe", str(recipe), "--corpus", str(home.corpus), "--model", "outlives")


def _started(home: Installation) -> tuple[subprocess.Popen[bytes], Path]:
    output = home.home.parent / "output.txt"
    with output.open("wb") as file:
        process = subprocess.Popen(
            home.command(*_arguments(home)),
            env={**home.variables(), "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    return process, output


def _wait_for_line(output: Path, beginning: str, process: subprocess.Popen[bytes]) -> None:
    def is_there() -> bool:
        assert process.poll() is None, output.read_text()[-3000:]
        return any(line.startswith(beginning) for line in output.read_text().splitlines())

    wait_until(is_there, 400, 0.1)


def _kill_server(settings: Settings) -> str:
    """kill -9 of the server's whole group; returns its address."""
    state = ServiceProcess("prefect", settings.services_folder).state()
    assert state is not None
    os.killpg(state.pid, signal.SIGKILL)
    return state.address
