"""The servers: local ones of the home, with what they cost, and those that the settings name."""

from __future__ import annotations

from collections.abc import Iterator

from rich.markup import escape

from flows.supervision.local_worker import WORKER
from flows.supervision.task_workers import task_workers
from infra.profile import full_profile
from infra.services import is_healthy
from infra.services import status as service_status
from infra.services.deaths import has_died, is_served_by, leader_has_died, was_started
from infra.settings import Settings
from infra.shown_address import shown_address

_NEEDED = ("prefect", "mlflow")
"""Servers that every run talks to."""


def servers(settings: Settings) -> Iterator[str]:
    """A line for Prefect and MLflow each, wherever they are; for others that run; for workers that the home keeps running."""
    elsewhere = _elsewhere(settings)
    profile = full_profile(settings.home)
    if profile is not None:
        yield "  profile full: the home keeps its data in its own postgres and s3, its tasks run on its workers"
    for service in service_status(settings):
        if service.address:
            memory = service.memory_bytes / 2**20
            processes = "1 process" if service.processes == 1 else f"{service.processes} processes"
            health = "" if is_healthy(service.name, settings) else "; [bold red]does not answer[/]"
            yield f"  {service.name}: {escape(service.address)} ({processes}, {memory:.0f} MiB){health}"
        elif service.name in elsewhere:
            yield f"  {service.name}: {escape(elsewhere[service.name])}"
        elif service.name in _NEEDED or profile is not None:
            yield f"  {service.name}: does not run (`mer up` starts it, and so does a run)"
    if was_started(WORKER, settings):
        if has_died(WORKER, settings):
            yield "  worker of the deployments: died; `mer deploy` starts it again"
        else:
            yield "  worker of the deployments: runs (`mer deploy` started it)"
    for name in task_workers(settings):
        state = "died; it is started again within seconds" if leader_has_died(name, settings) else "runs"
        yield f"  {name}: {state}"


def _elsewhere(settings: Settings) -> dict[str, str]:
    """Name of a server that the settings name -> its address, and by which variable."""
    api, tracking = settings.prefect_api_url, settings.mlflow_tracking_uri.get_secret_value()
    named = (
        {"mlflow": f"{shown_address(tracking)} (MER_MLFLOW_TRACKING_URI)"}
        if tracking.startswith("http") and not is_served_by("mlflow", f"{tracking}/", settings)
        else {}
    )
    return named if api is None else named | {"prefect": f"{api} (MER_PREFECT_API_URL)"}
