"""The next scheduled run of each deployment, where the Prefect server answers; nothing is started for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from rich.markup import escape

from flows.supervision.local_worker import POOL
from infra.errors import PrefectUnavailable
from infra.prefect_api import PrefectApi, PrefectRefused
from infra.services.deaths import address_of
from infra.services.home_secrets import prefect_auth_string
from infra.settings import Settings
from tasks.stage.workspace import Workspace

TIMEOUT_SECONDS = 0.9
"""For each of the two requests."""


def schedules(space: Workspace) -> Iterator[str]:
    """A line for each deployment that has a schedule."""
    if (url := _api_url(space.settings)) is None:
        return
    auth = prefect_auth_string(space.settings, url)
    api = PrefectApi(url, timeout_seconds=TIMEOUT_SECONDS, auth=auth)
    try:
        names = {str(item["id"]): str(item["name"]) for item in api.deployments([POOL])}
        scheduled = api.next_runs([POOL]) if names else []
    except (PrefectUnavailable, PrefectRefused):
        return  # the servers are another section's
    seen: set[str] = set()
    for run in scheduled:
        name = names.get(str(run["deployment_id"]))
        if name is not None and name not in seen and run["next_scheduled_start_time"]:
            seen.add(name)
            yield f"next {escape(name)}: {_local_time(run['next_scheduled_start_time'])}"


def _api_url(settings: Settings) -> str | None:
    """Of the server that is configured, else of the home's own, if that runs."""
    if settings.prefect_api_url is not None:
        return settings.prefect_api_url.get_secret_value()
    address = address_of("prefect", settings)
    return None if address is None else f"{address}/api"


def _local_time(text: Any) -> str:
    return f"{datetime.fromisoformat(str(text)).astimezone():%Y-%m-%d %H:%M}"
