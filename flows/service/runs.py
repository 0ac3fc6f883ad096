"""Runs: what Prefect says of the latest ones, with the addresses of their pages there and in MLflow.

Servers that do not answer are said so; the page is there without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from flows.service.part import Page, Part
from flows.service.problems import described
from flows.service.state import Service
from infra.address import without_user
from infra.errors import InfraError
from infra.prefect_api import PrefectApi
from infra.services.deaths import address_of
from infra.services.home_secrets import prefect_auth_string
from infra.shown_address import shown_address

_SECONDS = 3.0
_LATEST = 30


class Run(BaseModel):
    """A flow run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    flow: str = Field(description="Which flow; empty: not known.")
    state: str = Field(description="As Prefect calls it: Completed, Running, Failed, ...")
    started: datetime | None
    seconds: float | None = Field(description="How long it took, or has taken.")
    page: str = Field(description="Its page in Prefect.")


class Runs(BaseModel):
    """The latest runs, and where more is shown."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runs: tuple[Run, ...] = Field(description="Newest first.")
    prefect: str | None = Field(description="Address of Prefect's page; null: no server is known to run.")
    mlflow: str | None = Field(
        description="Address of the tracked runs in MLflow; null: it does not answer, or nothing was tracked."
    )
    remark: str = Field(description="Why there are no runs; empty: nothing is wrong.")


def router(service: Service) -> APIRouter:
    """Asks Prefect and MLflow for a moment each."""
    routes = APIRouter(prefix="/api/runs", tags=["runs"], responses=described(503))

    @routes.get("", summary="Latest runs")
    def runs() -> Runs:
        mlflow = service.space.tracker.experiment_page()
        api = prefect_api(service)
        if api is None:
            return Runs(
                runs=(), prefect=None, mlflow=mlflow, remark="no Prefect server runs: `mer up` starts it"
            )
        url, client = api
        page = url.removesuffix("/api")
        try:
            found = client.latest_runs(_LATEST)
        except InfraError as error:
            return Runs(runs=(), prefect=page, mlflow=mlflow, remark=str(error))
        return Runs(runs=tuple(_run(row, page) for row in found), prefect=page, mlflow=mlflow, remark="")

    return routes


def prefect_api(service: Service) -> tuple[str, PrefectApi] | None:
    """Address without user, and client, of the Prefect server of the settings or of this home; None: none runs."""
    settings = service.settings
    configured = settings.prefect_api_url
    local = address_of("prefect", settings)
    if configured is not None:
        api = configured.get_secret_value().rstrip("/")
    elif local is not None:
        api = f"{local}/api"
    else:
        return None
    return shown_address(without_user(api)[0]), PrefectApi(api, _SECONDS, prefect_auth_string(settings, api))


def _run(row: Mapping[str, Any], page: str) -> Run:
    labels = row.get("labels") or {}
    return Run(
        name=str(row.get("name", "")),
        flow=str(labels.get("prefect.flow.name", "")),
        state=str((row.get("state") or {}).get("name") or row.get("state_name") or "unknown"),
        started=row.get("start_time"),
        seconds=row.get("total_run_time") or None,
        page=f"{page}/runs/flow-run/{row['id']}",
    )


PART = Part(name="runs", router=router, page=Page("runs", "Runs"))
