"""MLflow's registry follows from the catalogue: after a kill, a rollback, a time without MLflow, and the loss of its database."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from registered_models import in_registry, make_champions, register_versions

from flows.status.models import models
from flows.upkeep import put_right
from tasks.serve.by_hand import promote_by_hand, roll_back
from tasks.serve.registry import registry_models
from tasks.stage.workspace import Workspace, workspace

pytestmark = pytest.mark.slow
DOWN = "http://127.0.0.1:1"


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A home without MLflow, which `up` brings."""
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MER_MLFLOW_TRACKING_URI", DOWN)
    return workspace()


@pytest.fixture
def up(mlflow_address: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Lets MLflow answer, and starts a flow: gives the lines of what is put right."""

    def start() -> list[str]:
        monkeypatch.setenv("MER_MLFLOW_TRACKING_URI", mlflow_address)
        return put_right()

    return start


def of_registry(lines: list[str]) -> list[str]:
    """What was put right of MLflow's registry."""
    return [line for line in lines if line.startswith("MLflow's registry")]


def killed_after(work: str, method: str) -> None:
    """Do something in a process that is killed as soon as the catalogue's method has committed."""
    code = (
        "import os, signal\nfrom infra.catalogue import Catalogue\nfrom tasks.serve.by_hand import *\n"
        "from tasks.stage.workspace import workspace\nfrom registered_models import *\n"
        f"work = Catalogue.{method}\n"
        f"Catalogue.{method} = lambda *a, **k: (work(*a, **k), os.kill(os.getpid(), signal.SIGKILL))\n{work}"
    )
    path = os.pathsep.join([str(Path.cwd()), str(Path(__file__).parent)])
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, check=False)
    assert done.returncode == -signal.SIGKILL


def test_what_was_changed_without_mlflow_or_by_a_killed_process_reaches_it(
    space: Workspace, up: Callable[[], list[str]], mlflow_address: str
) -> None:
    name = "killed"
    killed_after(f"register_versions(workspace(), {name!r}, 1)", "add_model_version")
    assert up()
    assert in_registry(mlflow_address, name)["versions"].keys() == {1}
    register_versions(space, name, 3)
    make_champions(space, name, [1])
    killed_after(f"promote_by_hand({name!r}, 3)", "set_alias")
    assert put_right()
    assert in_registry(mlflow_address, name)["aliases"] == {"champion": 3}
    killed_after(f"roll_back({name!r})", "rollback")
    assert put_right()
    there = in_registry(mlflow_address, name)
    assert there["aliases"] == {"champion": 1}
    assert there["versions"] == {
        row.version: row.artifact.sha256 for row in space.catalogue.model_versions(name)
    }
    assert of_registry(put_right()) == [], "nothing is done twice"
    assert in_registry(mlflow_address, name)["count"] == 3


def test_a_rollback_reaches_mlflow_at_once_or_says_that_it_did_not(
    space: Workspace, up: Callable[[], list[str]], mlflow_address: str
) -> None:
    name = "rolled"
    register_versions(space, name, 2)
    make_champions(space, name, [1, 2])
    assert "at the next start" in roll_back(name).remark
    up()
    assert in_registry(mlflow_address, name)["aliases"] == {"champion": 1}
    assert promote_by_hand(name, 2).remark == ""
    assert in_registry(mlflow_address, name)["aliases"] == {"champion": 2}
    assert roll_back(name).remark == ""
    assert in_registry(mlflow_address, name)["aliases"] == {"champion": 1}


def test_what_mlflow_has_beyond_or_otherwise_is_said(
    space: Workspace, up: Callable[[], list[str]], mlflow_address: str
) -> None:
    import httpx

    name = "otherwise"
    register_versions(space, name, 2)
    make_champions(space, name, [1, 2])
    up()
    assert any("MLflow agrees" in line for line in models(workspace()))
    with httpx.Client(base_url=f"{mlflow_address}/api/2.0/mlflow") as client:
        tags = [{"key": "mer.version", "value": "9"}, {"key": "mer.sha256", "value": "f" * 64}]
        body = {"name": name, "source": "mer-artifact://model/9", "tags": tags}
        made = client.post("/model-versions/create", json=body).raise_for_status().json()["model_version"]
        body = {"name": name, "alias": "champion", "version": made["version"]}
        client.post("/registered-models/alias", json=body).raise_for_status()
    said = "\n".join(models(workspace()))
    assert "champion is version 2 since" in said and "promoted by the gate" in said
    assert "says champion is version 9 (sha256 ffffffffffff): `mer up` puts it right" in said
    assert "MLflow has version 9 (sha256 ffffffffffff), which this catalogue does not have" in said
    assert put_right()
    there = in_registry(mlflow_address, name)
    assert (there["aliases"], there["versions"].keys()) == ({"champion": 2}, {1, 2, 9})
    assert "MLflow agrees; MLflow has version 9" in "\n".join(models(workspace()))


def test_a_lost_database_is_filled_again(
    space: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without a server it is written directly."""
    from mlflow.tracking import MlflowClient

    name = "lost"
    register_versions(space, name, 2)
    make_champions(space, name, [2])
    for database in ("first", "second"):
        url = f"sqlite:///{tmp_path / database}.db"
        monkeypatch.setenv("MER_MLFLOW_TRACKING_URI", url)
        assert put_right()
        client = MlflowClient(url, url)
        assert client.get_model_version_by_alias(name, "champion").tags["mer.version"] == "2"
        assert of_registry(put_right()) == []
        assert len(client.search_model_versions(f"name = '{name}'")) == 2


def test_a_model_that_mlflow_does_not_take_keeps_no_other_from_it(
    space: Workspace, up: Callable[[], list[str]], mlflow_address: str
) -> None:
    register_versions(space, "a:b", 1)
    register_versions(space, "taken", 1)
    (line,) = of_registry(up())
    assert "refused: a:b: " in line
    assert in_registry(mlflow_address, "taken")["versions"].keys() == {1}


def test_status_never_waits_for_mlflow_longer_than_a_second(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_versions(space, "slow", 1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("MER_MLFLOW_TRACKING_URI", address)
        started = time.monotonic()
        lines = "\n".join(models(workspace()))
        assert time.monotonic() - started < 1.5
    assert "MLflow was not asked" in lines or "does not answer" in lines
    assert registry_models(space)[0].aliases == {}
