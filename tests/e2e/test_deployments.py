"""Deployments, with the servers of the home itself: every flow is there, the cron really gets scheduled runs, the worker runs one
whose log says what a terminal would, and what lets it in is written nowhere but in the home's files of secrets.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import pytest
from e2e_installation import Installation
from invariants import secrets_found
from prefect_client import prefect_client

from flows.deploying.definitions import FLOWS
from infra.services import start
from infra.services.home_secrets import made_up_secret
from infra.settings import Settings

pytestmark = pytest.mark.slow


def test_cron_schedules_runs_and_a_worker_executes_one(tmp_path: Path, demo_corpus: Path) -> None:
    installation = Installation(tmp_path / "home", demo_corpus)
    clients = ExitStack()
    try:
        said = installation.mer("deploy").stdout
        assert "retrain   next " in said and "(0 3 * * * UTC)" in said
        settings = installation.settings()
        api = clients.enter_context(prefect_client(start("prefect", settings), settings))
        deployments = {
            item["name"]: item for item in api.post("/deployments/filter", json={}).raise_for_status().json()
        }
        assert set(deployments) >= set(FLOWS)
        own = (
            "--flow",
            "ingest",
            "--corpus",
            str(installation.corpus),
            "--cron",
            "0 4 * * *",
            "--name",
            "own",
        )
        assert (
            "own" in installation.mer("deploy", *own, "--no-worker").stdout
        )  # reads the schedule before it knows the server
        named = {"deployments": {"name": {"any_": ["own"]}}}
        assert len(api.post("/deployments/filter", json=named).raise_for_status().json()) == 1
        queues = api.post("/work_pools/mer-cpu/queues/filter", json={}).raise_for_status().json()
        assert {item["name"]: item["priority"] for item in queues} == {"high": 1, "default": 2, "low": 3}
        described = deployments["retrain"]["parameter_openapi_schema"]["definitions"]["RetrainOptions"][
            "properties"
        ]
        assert all(option["description"] for option in described.values())
        scheduled = _wait(lambda: _runs(api, deployments["retrain"]["id"], "SCHEDULED"), 60)
        assert scheduled, "the cron deployment got no scheduled run"
        options = {"recipe": "demo", "corpus": str(installation.corpus), "corpus_name": "worker"}
        body = {"parameters": {"options": options}}
        api.post(f"/deployments/{deployments['ingest']['id']}/create_flow_run", json=body).raise_for_status()
        done = _wait(lambda: _runs(api, deployments["ingest"]["id"], "COMPLETED"), 240)
        assert done, "the worker did not complete an ingest run"
        assert str(done[0]["name"]).startswith("worker, recipe demo (")
        asked = {"logs": {"flow_run_id": {"any_": [done[0]["id"]]}}}
        lines = [item["message"] for item in api.post("/logs/filter", json=asked).raise_for_status().json()]
        assert "ingest" in lines and any(line.startswith("corpus worker: 36 entries") for line in lines), (
            lines
        )
        with installation.catalogue() as catalogue:
            assert catalogue.clips("worker")
        assert not _command_lines(_passwords(settings))
    finally:
        clients.close()
        installation.mer("down")
    canaries = [form for password in _passwords(settings) for form in (password, f"mer:{password}")]
    assert list(secrets_found(settings.home, canaries)) == [], "also in Prefect's database and all logs"


def _passwords(settings: Settings) -> list[str]:
    return [made_up_secret(settings, name) for name in ("prefect", "mlflow")]


def _command_lines(passwords: list[str]) -> list[str]:
    """Command lines of this machine that hold a password."""
    lines = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert any("worker start" in line for line in lines)
    return [line for line in lines if any(password in line for password in passwords)]


def _runs(api: httpx.Client, deployment: str, state: str) -> list[dict[str, object]]:
    body = {
        "deployments": {"id": {"any_": [deployment]}},
        "flow_runs": {"state": {"type": {"any_": [state]}}},
    }
    found: list[dict[str, object]] = api.post("/flow_runs/filter", json=body).raise_for_status().json()
    return found


def _wait(look: object, seconds: float) -> list[dict[str, object]]:
    deadline = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < deadline:  # type: ignore[operator]
        time.sleep(1)
    return found
