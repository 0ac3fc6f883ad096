"""A person is asked to approve: by a run of the deployment `approval` where there is one, which waits with a form."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from flows.terminal import console
from infra.catalogue import Catalogue
from infra.catalogue.approvals import WAITING
from infra.errors import PrefectUnavailable
from infra.prefect_api import PrefectRefused
from infra.prefect_deployments import DeploymentApi
from infra.services.deaths import address_of
from infra.services.home_secrets import prefect_auth_string
from infra.settings import Settings, load_settings

if TYPE_CHECKING:
    from tasks.stage.references import ModelVersion, Promotion

logger = logging.getLogger(__name__)

DEPLOYMENT = "approval"
OPEN = ("SCHEDULED", "PENDING", "RUNNING", "PAUSED")


def ask_for_approval(version: ModelVersion, promotion: Promotion | None) -> None:
    """Let a worker ask in Prefect's page, once for each request; without the deployment the command line is the way."""
    if promotion is None or promotion.decision != WAITING or (api := _api(load_settings())) is None:
        return
    try:
        deployment = api.deployment(DEPLOYMENT, DEPLOYMENT)
        if deployment is None:
            return
        options = {"options": {"model": version.name, "version": version.version}}
        key = f"approval/{version.ref.sha256}/{promotion.champion or 0}"
        api.start_deployment(
            str(deployment["id"]), options, key, ("mer", *_tags(version.name, version.version))
        )
    except (PrefectUnavailable, PrefectRefused) as error:
        logger.warning("nobody is asked in the Prefect page: %s", error)
        return
    console.print("  the Prefect page asks as well: run of the deployment `approval`, button Resume")


def end_asking(model: str, version: int, said: str) -> None:
    """End the run that asks, as somebody else has answered, or the time is over; what does not answer is left alone."""
    if (api := _api(load_settings())) is None:
        return
    try:
        for run in api.tagged_runs(_tags(model, version), OPEN):
            api.propose_flow_state(run, "COMPLETED", said)
    except (PrefectUnavailable, PrefectRefused) as error:
        logger.warning("the run that asks in the Prefect page goes on: %s", error)


def expire_approvals(catalogue: Catalogue) -> str | None:
    """Note that approvals whose time is over were not given; returns a line if there were any."""
    expired = catalogue.expire_approvals()
    for row in expired:
        end_asking(row.name, row.version, row.reason)
    names = ", ".join(f"{row.name} version {row.version}" for row in expired)
    return f"not promoted, since nobody approved in time: {names}" if expired else None


def _tags(model: str, version: int) -> tuple[str, str]:
    return f"model {model}", f"version {version}"


def _api(settings: Settings) -> DeploymentApi | None:
    url = os.environ.get("PREFECT_API_URL")
    if url is None and settings.prefect_api_url is not None:
        url = settings.prefect_api_url.get_secret_value()
    if url is None and (address := address_of("prefect", settings)) is not None:
        url = f"{address}/api"
    return (
        None
        if url is None
        else DeploymentApi(
            url, timeout_seconds=5.0, auth=prefect_auth_string(settings, url), patience_seconds=5.0
        )
    )
