"""The previous champion is back within five seconds, ten times out of ten, while MLflow is stopped or silent."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_installation import Installation
from fault_report import Faults
from invariants import check_invariants
from registered_models import in_registry, make_champions, register_versions
from typer.testing import CliRunner

from flows.cli import app
from flows.upkeep import put_right
from tasks.stage.workspace import workspace

pytestmark = pytest.mark.fault

SECONDS = 5.0
TIMES = 10


@pytest.fixture(params=["refuses connections", "is silent", "is the local one, stopped"])
def stopped(request: pytest.FixtureRequest) -> Iterator[str]:
    """Address of an MLflow that does not answer; empty: the local one."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        silent_address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        yield {"refuses connections": "http://127.0.0.1:1", "is silent": silent_address}.get(
            request.param, ""
        )


def test_rollback_drill(
    stopped: str, tmp_path: Path, mlflow_address: str, monkeypatch: pytest.MonkeyPatch, faults: Faults
) -> None:
    faults.row, faults.injected = "rollback drill", TIMES
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MER_MLFLOW_TRACKING_URI", stopped)
    name = tmp_path.name.replace("_", "-")
    space = workspace()
    versions = register_versions(space, name, TIMES + 1)
    make_champions(space, name, versions)
    home = Installation(tmp_path / "home", tmp_path, {"MER_MLFLOW_TRACKING_URI": stopped} if stopped else {})
    started = time.monotonic()
    home.mer("models", name)
    listing = time.monotonic() - started
    CliRunner().invoke(app, ["models", name])  # loads what the command needs: not counted below
    for number, version in enumerate(reversed(versions[:-1])):
        started = time.monotonic()
        if number == 0:  # a process of its own; on a busy machine listing alone takes long
            said, limit = home.mer("models", name, "--rollback").stdout, max(SECONDS, listing + 3)
        else:
            said, limit = CliRunner().invoke(app, ["models", name, "--rollback"]).stdout, SECONDS
        assert time.monotonic() - started <= limit
        assert f"champion is version {version} again" in said
        assert "MLflow's registry follows at the next start" in " ".join(said.split())
        champion = space.catalogue.champion(name)
        assert champion is not None and champion.version == version
    check_invariants(space.settings, recovered=True)
    monkeypatch.setenv("MER_MLFLOW_TRACKING_URI", mlflow_address)
    put_right()
    there = in_registry(mlflow_address, name)
    assert (there["aliases"], sorted(there["versions"])) == ({"champion": 1}, versions)
