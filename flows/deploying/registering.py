"""Registering deployments at the Prefect server, and what people are told of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flows.deploying.definitions import FLOWS, PRIORITIES, Deployment
from flows.deploying.forms import form_of, known_choices
from flows.supervision.local_worker import POOL
from infra.prefect_deployments import DeploymentApi
from infra.services.home_secrets import prefect_auth_string
from infra.settings import Settings
from mer import __version__
from mer.errors import ConfigError
from tasks.stage.workspace import existing_workspace

PATIENCE_SECONDS = 60.0
"""How long a server that is busy is asked again, for each of the questions."""


@dataclass(frozen=True)
class Registered:
    """A deployment as the server has it."""

    deployment: Deployment
    next_run: datetime | None
    """When it starts next by itself; None: only when somebody or something starts it."""
    paused: bool
    """True: its schedule was switched off in the page, and stays off."""


def deployment_api(settings: Settings) -> DeploymentApi:
    """The server of this process' environment, which `ensure_servers` settles."""
    url = os.environ["PREFECT_API_URL"]
    auth = prefect_auth_string(settings, url)
    return DeploymentApi(url, timeout_seconds=60.0, auth=auth, patience_seconds=PATIENCE_SECONDS)


def register_deployments(deployments: Sequence[Deployment], settings: Settings) -> list[Registered]:
    """Make the work pool and its queues, and each deployment, or bring them up to date.

    Raises:
        PrefectUnavailable, PrefectRefused: the server does not answer, or refuses; what was registered until then stays.
    """
    from prefect.workers.process import ProcessWorker

    api = deployment_api(settings)
    api.put_pool(POOL, "process", ProcessWorker.get_default_base_job_template())
    for name, priority in sorted(PRIORITIES.items(), key=lambda item: item[1]):
        api.put_queue(POOL, name, priority)
    choices = known_choices(existing_workspace())
    return [_register(api, item, form_of(item.flow, choices, item.options), settings) for item in deployments]


def remove_deployment(name: str, settings: Settings) -> str:
    """Remove the deployment of this name, whichever flow's it is; returns the flow's name.

    Raises:
        ConfigError: there is none; the message names those there are.
    """
    api = deployment_api(settings)
    known = {str(item["name"]): item for item in api.deployments([POOL])}
    if name not in known:
        raise ConfigError(
            f"expected the name of a deployment: {', '.join(sorted(known)) or 'there is none'}; found {name!r}"
        )
    api.remove_deployment(str(known[name]["id"]))
    return str(known[name]["entrypoint"]).rpartition(".")[2]


def next_start(cron: str, timezone: str, after: datetime | None = None) -> datetime:
    """When a schedule starts next.

    Raises:
        ConfigError: no cron expression, or no such time zone.
    """
    from prefect.server.schemas.schedules import CronSchedule
    from pydantic import ValidationError

    try:
        schedule = CronSchedule(cron=cron, timezone=timezone)
    except ValidationError as error:
        raise ConfigError(
            f"--cron, --timezone: expected minute hour day month weekday, e.g. '0 3 * * *', and a time zone, e.g. Europe/Berlin; "
            f"found {cron!r}, {timezone!r}: {error.errors()[0]['msg']}"
        ) from error
    after = after or datetime.now(UTC)
    dates: list[Any] = asyncio.run(schedule.get_dates(n=1, start=after))
    return datetime.fromisoformat(str(dates[0]))


def lines_of(registered: Sequence[Registered]) -> Iterator[str]:
    """What was registered and when it runs next, a line each, at most 80 columns where names are short."""
    width = max(len(item.deployment.name) for item in registered)
    flows = max(len(item.deployment.flow) for item in registered)
    for item in registered:
        name, flow = item.deployment.name.ljust(width), item.deployment.flow.ljust(flows)
        own = "" if item.deployment.name == item.deployment.flow else f" {flow}"
        yield f"{name}{own}  {_when(item)}"


def _when(item: Registered) -> str:
    if item.paused:
        return "its schedule is switched off in the Prefect page"
    if item.next_run is None:
        return "when it is started"
    return f"next {item.next_run.astimezone():%a %Y-%m-%d %H:%M %Z} ({item.deployment.cron} {item.deployment.timezone})"


def _register(
    api: DeploymentApi, deployment: Deployment, form: dict[str, Any], settings: Settings
) -> Registered:
    values = deployment.payload(settings)
    flow = FLOWS[deployment.flow].function
    known = api.deployment(flow, deployment.name)
    paused = known is not None and any(not schedule["active"] for schedule in known.get("schedules", ()))
    for schedule in values["schedules"]:
        schedule["active"] = not paused
    api.put_deployment(
        {
            **values,
            "flow_id": api.put_flow(flow),
            "parameter_openapi_schema": form,
            "version": __version__,
        }
    )
    soon = next_start(deployment.cron, deployment.timezone) if deployment.cron and not paused else None
    return Registered(deployment, soon, paused and bool(deployment.cron))
