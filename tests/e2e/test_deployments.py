"""Deployments of prefect.yaml: every flow is there, and the cron really gets scheduled runs."""

from __future__ import annotations

import time
from contextlib import ExitStack

import httpx
import pytest
from e2e_installation import Installation

pytestmark = pytest.mark.slow
FLOWS = {
    "retrain",
    "ingest",
    "features",
    "layers",
    "pretrain",
    "adapt",
    "align",
    "train",
    "refresh",
    "search",
    "predict",
    "prune",
}


def test_cron_schedules_runs_and_a_worker_executes_one(
    installation: Installation, prefect_server: str
) -> None:
    clients = ExitStack()
    try:
        installation.mer("deploy")
        api = clients.enter_context(httpx.Client(base_url=f"{prefect_server}/api", timeout=30))
        deployments = {
            item["name"]: item for item in api.post("/deployments/filter", json={}).raise_for_status().json()
        }
        assert set(deployments) >= FLOWS
        described = deployments["retrain"]["parameter_openapi_schema"]["definitions"]["RetrainOptions"][
            "properties"
        ]
        assert all(option["description"] for option in described.values())
        scheduled = _wait(lambda: _runs(api, deployments["retrain"]["id"], "SCHEDULED"), 60)
        assert scheduled, "the cron deployment got no scheduled run"
        options = {"recipe": "demo", "corpus": str(installation.corpus), "corpus_name": "worker"}
        body = {"parameters": {"options": options}}
        api.post(f"/deployments/{deployments['ingest']['id']}/create_flow_run", json=body).raise_for_status()
        done = _wait(lambda: _runs(api, deployments["ingest"]["id"], "COMPLETED"), 150)
        assert done, "the worker did not complete an ingest run"
        with installation.catalogue() as catalogue:
            assert catalogue.clips("worker")
    finally:
        clients.close()
        installation.mer("down")


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
