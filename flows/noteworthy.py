"""What people want to be told of (decisions of the gate, rollbacks, drift, missing workers): counted, and events at Prefect.

Prefect's automations react to these events (`flows.deploying.alerts`). Nobody waits for the server: one that does not answer
within `TIMEOUT_SECONDS` gets none, and the event stays in the log.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from infra.errors import InfraError
from infra.observing import INFO, WARNING, count, record, set_latest
from infra.observing.context import context
from infra.prefect_events import EventApi
from infra.services.deaths import address_of
from infra.services.home_secrets import prefect_auth_string
from infra.settings import Settings, load_settings

if TYPE_CHECKING:
    from tasks.serve.drift import DriftFound
    from tasks.stage.references import ModelVersion, Promotion

GATE_REFUSED, ROLLED_BACK = "mer.gate.refused", "mer.model.rolled-back"
DRIFT_EXCEEDED, WORKERS_ABSENT = "mer.drift.exceeded", "mer.workers.absent"
TIMEOUT_SECONDS = 3.0
_LOGGER = "flows.noteworthy"


def gate_decided(version: ModelVersion, promotion: Promotion | None) -> None:
    """Tell what the gate decided on a version; None: it was not asked."""
    if promotion is None:
        return
    count("mer_gate_decisions_total", model=version.name, decision=promotion.decision)
    if promotion.decision == "rejected":
        facts = {"model": version.name, "version": version.version, "reason": promotion.reason}
        _tell(GATE_REFUSED, version.name, {**facts, "champion": promotion.champion})


def rolled_back(model: str, version: int) -> None:
    """Tell that a model serves an earlier version again."""
    count("mer_rollbacks_total", model=model)
    _tell(
        ROLLED_BACK,
        model,
        {"model": model, "version": version, "reason": f"version {version} is served again"},
    )


def drift_looked_at(found: DriftFound) -> None:
    """Tell what a look at new clips found."""
    exceeded = found.finding == "drift"
    effect = max((float(one["effect"]) for one in found.tests), default=0.0)
    set_latest("mer_drift_exceeded", float(exceeded), model=found.model)
    set_latest("mer_drift_effect", effect, model=found.model)
    set_latest("mer_last_drift_timestamp_seconds", time.time(), model=found.model)
    if exceeded:
        facts = {"model": found.model, "version": found.version, "clips": found.clips, "action": found.action}
        _tell(DRIFT_EXCEEDED, found.model, {**facts, "reason": found.reason})


def workers_absent(pool: str, tasks: int) -> None:
    """Tell that tasks wait for a pool that has no worker."""
    _tell(
        WORKERS_ABSENT,
        pool,
        {"pool": pool, "tasks": tasks, "reason": f"{tasks} tasks wait for a worker of {pool}"},
    )


def events_api(settings: Settings, timeout_seconds: float = TIMEOUT_SECONDS) -> EventApi | None:
    """The Prefect server of this process, of the settings, or the home's own where that was started; None: there is none."""
    url = os.environ.get("PREFECT_API_URL")
    if url is None and settings.prefect_api_url is not None:
        url = settings.prefect_api_url.get_secret_value()
    if url is None and (address := address_of("prefect", settings)) is not None:
        url = f"{address}/api"
    return None if url is None else EventApi(url, timeout_seconds, prefect_auth_string(settings, url))


def _tell(event: str, about: str, facts: Mapping[str, Any]) -> None:
    record(INFO, _LOGGER, f"{event}: {about}: {facts['reason']}", event=event)
    resource = {"prefect.resource.id": f"{event.rpartition('.')[0]}.{about}", "prefect.resource.name": about}
    try:
        if (api := events_api(load_settings())) is not None:
            api.send_event(event, resource, facts, context().get("flow_run"))
    except InfraError as error:
        record(WARNING, _LOGGER, f"{event} was not sent to Prefect: {error}", event=event)
