"""kill -9 of the Prefect server in mid-run: the local one comes back, the run goes on; where none does, one line and a resume."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_installation import TINY, Installation
from prefect_runs import ShownRuns, wait_until

from infra.services import start, stop_all
from infra.services.home_secrets import prefect_auth_string
from infra.services.process import ServiceProcess
from infra.settings import Settings, load_settings

pytestmark = [pytest.mark.slow, pytest.mark.nightly]

TIMEOUT_SECONDS = 20.0


@pytest.fixture
def alone(tmp_path: Path, demo_corpus: Path, server_addresses: dict[str, str]) -> Iterator[Installation]:
    """A home with a Prefect server of its own."""
    mlflow = {name: value for name, value in server_addresses.items() if "MLFLOW" in name}
    home = Installation(tmp_path / "home", demo_corpus, mlflow)
    yield home
    stop_all(load_settings(home=home.home))


@pytest.mark.parametrize("moment", ["[2/", "[6/", "[9/"])
def test_a_run_outlives_the_death_of_its_local_server(
    moment: str, alone: Installation, finished: Installation, tmp_path: Path
) -> None:
    process, output = _started(alone, tmp_path)
    _wait_for_line(output, moment, process)
    address = _kill_server(alone.settings())
    assert process.wait(timeout=500) == 0, output.read_text()[-3000:]
    shown = ShownRuns(alone, f"{address}/api")
    (run,) = shown.flow_runs(("COMPLETED",))
    wait_until(lambda: not shown.task_runs(str(run["id"])), 60)
    assert not shown.flow_runs()
    assert alone.results() == finished.results()
    assert "does not answer" not in output.read_text(), "a server that comes back is not the user's business"


def test_a_server_that_stays_away_ends_the_run_in_one_line_and_the_same_command_goes_on(
    installation: Installation, finished: Installation, tmp_path: Path
) -> None:
    server = load_settings(home=tmp_path / "server")
    api = f"{start('prefect', server)}/api"
    password = prefect_auth_string(server)
    assert password is not None
    home = Installation(
        installation.home,
        installation.corpus,
        {
            **installation.environment,
            "MER_PREFECT_API_URL": api,
            "MER_PREFECT_AUTH_STRING": password.get_secret_value(),
            "MER_PREFECT_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
        },
    )
    try:
        process, output = _started(home, tmp_path)
        _wait_for_line(output, "[2/", process)
        before = len(output.read_text())
        stop_all(server)
        began = time.monotonic()
        assert process.wait(timeout=3 * TIMEOUT_SECONDS) == 1
        assert time.monotonic() - began <= 2 * TIMEOUT_SECONDS
        said = [line for line in output.read_text()[before:].splitlines() if line.startswith("mer: ")]
        assert len(said) == 1 and f"the Prefect server at {api} has not answered for" in said[0], said
        assert "Traceback" not in output.read_text() and "Error" not in output.read_text()
        assert "the same command goes on where it stopped" in said[0]
        start("prefect", server)
        home.run()
        assert home.results() == finished.results()
        shown = ShownRuns(home)
        wait_until(lambda: not shown.flow_runs(), 30)
        assert sorted(run["state_type"] for run in shown.flow_runs(("COMPLETED", "CRASHED"))) == [
            "COMPLETED",
            "CRASHED",
        ]
    finally:
        stop_all(server)


def _started(home: Installation, folder: Path) -> tuple[subprocess.Popen[bytes], Path]:
    output = folder / "output.txt"
    with output.open("wb") as file:
        process = subprocess.Popen(
            home.command("run", "--recipe", str(TINY), "--corpus", str(home.corpus), "--name", "tiny"),
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
