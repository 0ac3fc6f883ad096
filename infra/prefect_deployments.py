"""Work pools, queues and deployments of a Prefect server, by its API: made, or brought up to what is asked for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pydantic import SecretStr

from infra.errors import PrefectUnavailable
from infra.prefect_api import PrefectApi, PrefectRefused

_PAUSE_SECONDS = 1.0


class DeploymentApi(PrefectApi):
    """See `PrefectApi`; each method raises PrefectUnavailable or PrefectRefused.

    What is asked here changes nothing when it is asked again, so a server that is busy (its database is locked) is waited for.
    """

    def __init__(
        self,
        url: str,
        timeout_seconds: float = 10.0,
        auth: SecretStr | None = None,
        patience_seconds: float = 0.0,
    ) -> None:
        """`patience_seconds`: how long one question is asked again where the server does not answer."""
        super().__init__(url, timeout_seconds, auth)
        self._patience_seconds = patience_seconds

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        deadline = time.monotonic() + self._patience_seconds
        while True:
            try:
                return super()._ask(method, path, body)
            except PrefectUnavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE_SECONDS)

    def put_pool(self, name: str, kind: str, template: Mapping[str, Any]) -> None:
        """Make a work pool of this kind, or give the one there is this template of jobs."""
        try:
            self._ask("POST", "/work_pools/", {"name": name, "type": kind, "base_job_template": template})
        except PrefectRefused as error:
            if error.status != 409:
                raise
            self._ask("PATCH", f"/work_pools/{quote(name)}", {"base_job_template": template})

    def put_queue(self, pool: str, name: str, priority: int) -> None:
        """Make a queue of a work pool, or give the one there is this priority (1: the first)."""
        queues = f"/work_pools/{quote(pool)}/queues"
        try:
            self._ask("POST", queues, {"name": name, "priority": priority})
        except PrefectRefused as error:
            if error.status != 409:
                raise
            self._ask("PATCH", f"{queues}/{quote(name)}", {"priority": priority})

    def put_flow(self, name: str) -> str:
        """Id of the flow of this name, made where there is none."""
        return str(self._ask("POST", "/flows/", {"name": name})["id"])

    def deployment(self, flow: str, name: str) -> Mapping[str, Any] | None:
        """A deployment by the names of its flow and its own; None: there is none."""
        try:
            found: Mapping[str, Any] = self._ask("GET", f"/deployments/name/{quote(flow)}/{quote(name)}")
        except PrefectRefused as error:
            if error.status == 404:
                return None
            raise
        return found

    def put_deployment(self, values: Mapping[str, Any]) -> str:
        """Make a deployment, or replace the one of this flow and name; returns its id."""
        return str(self._ask("POST", "/deployments/", values)["id"])

    def remove_deployment(self, deployment: str) -> None:
        """Remove a deployment, by its id."""
        self._ask("DELETE", f"/deployments/{deployment}")

    def start_deployment(
        self, deployment: str, parameters: Mapping[str, Any], key: str, tags: tuple[str, ...] = ()
    ) -> str:
        """Let a worker start a run; asked again with the same key it is the same run. Returns the run's id."""
        values = {
            "parameters": parameters,
            "idempotency_key": key,
            "tags": list(tags),
            "state": {"type": "SCHEDULED"},
        }
        return str(self._ask("POST", f"/deployments/{deployment}/create_flow_run", values)["id"])

    def tagged_runs(self, tags: tuple[str, ...], states: tuple[str, ...]) -> list[str]:
        """Ids of flow runs with all these tags, in one of these types of states."""
        query = {"flow_runs": {"tags": {"all_": list(tags)}, "state": {"type": {"any_": list(states)}}}}
        return [str(run["id"]) for run in self._ask("POST", "/flow_runs/filter", query)]
