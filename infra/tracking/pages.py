"""Addresses of MLflow's pages, for people: of the experiment, and of a run by its key. Asked for a moment only."""

from __future__ import annotations

from typing import Any

from infra.address import without_user
from infra.settings import Settings
from infra.tracking.mlflow_rest import MlflowRest
from infra.tracking.mlflow_sink import KEY_TAG
from infra.tracking.server_address import server_address
from infra.tracking.spool import EventRefused, TrackingDown

_SECONDS = 2.0
_TRAINING = "workflowType=machine_learning"
"""Without it the page remembers the view that somebody looked at last, at first MLflow's GenAI views."""


def experiment_page(settings: Settings, experiment: str) -> str | None:
    """Address of the experiment's runs; None: no server answers, or nothing was tracked yet."""
    found = _found(settings, experiment)
    return None if found is None else f"{found[0]}/#/experiments/{found[1]}/runs?{_TRAINING}"


def run_page(settings: Settings, experiment: str, key: str) -> str | None:
    """Address of the run with this key; None: no server answers, or it has no such run (yet)."""
    found = _found(settings, experiment)
    if found is None:
        return None
    base, number, rest = found
    asked = key.replace("'", "_")  # `_` stands for any character: the exact one is chosen below
    query = {
        "experiment_ids": [number],
        "filter": f"tags.`{KEY_TAG}` LIKE '{asked}'",
        "max_results": 100,
    }
    try:
        runs = rest.post("runs/search", query).get("runs", [])
    except (TrackingDown, EventRefused):
        return None
    ours = [run["info"]["run_id"] for run in runs if _key_of(run) == key]
    return f"{base}/#/experiments/{number}/runs/{ours[0]}?{_TRAINING}" if ours else None


def _found(settings: Settings, experiment: str) -> tuple[str, str, MlflowRest] | None:
    """Address without user, number of the experiment, and who asks."""
    address = server_address(settings)
    if address is None:
        return None
    rest = MlflowRest(address, _SECONDS)
    try:
        known = rest.get("experiments/get-by-name", experiment_name=experiment)
        return without_user(address)[0].rstrip("/"), str(known["experiment"]["experiment_id"]), rest
    except (TrackingDown, EventRefused, LookupError, TypeError):
        return None


def _key_of(run: Any) -> str | None:
    tags = {tag["key"]: tag.get("value") for tag in run["data"].get("tags", ())}
    return tags.get(KEY_TAG)
