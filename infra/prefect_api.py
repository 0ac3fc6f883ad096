"""The few questions that are asked of a Prefect server without Prefect's client, whose import takes seconds.

Every request ends within its time-out; nothing is tried again here. A state is proposed, never forced: the server refuses what
its rules forbid, in the transaction that would change it. So a run that has ended is not changed, however late a proposal comes.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, build_opener

from pydantic import SecretStr

from infra.errors import InfraError, PrefectUnavailable
from infra.shown_address import shown_address

AUTH_VARIABLE = "PREFECT_API_AUTH_STRING"
"""Where Prefect's own clients find `USER:PASSWORD`, and so do we."""
ENDED = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
"""Types of states that nothing follows."""
_NEEDS_TOKEN = 403
_PAGE = 200


class PrefectApi:
    """A Prefect server's API, `http://HOST:PORT/api`."""

    def __init__(self, url: str, timeout_seconds: float = 10.0, auth: SecretStr | None = None) -> None:
        """`auth`: USER:PASSWORD (`infra.services.home_secrets`); None: what the environment or the address says."""
        self._auth = auth
        parts = urlsplit(url.rstrip("/"))
        self._user = unquote(parts.netloc.rpartition("@")[0])
        self._url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        self._timeout_seconds = timeout_seconds
        self._client = str(uuid.uuid4())
        self._token: str | None = None

    def answers(self) -> bool:
        """True if the server says that it is well."""
        try:
            self._ask("GET", "/health")
        except (PrefectUnavailable, PrefectRefused):
            return False
        return True

    def flow_run(self, flow_run: str) -> Mapping[str, Any] | None:
        """A flow run by its id; None: the server has none (it was deleted, or it is another server's)."""
        try:
            found: Mapping[str, Any] = self._ask("GET", f"/flow_runs/{flow_run}")
        except PrefectRefused as error:
            if error.status == 404:
                return None
            raise
        return found

    def running_since_before(self, moment: datetime) -> list[str]:
        """Ids of flow runs that are shown at work and began before `moment` (a page of them; ask again when these have ended)."""
        query = {
            "flow_runs": {
                "state": {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING"]}},
                "start_time": {"before_": moment.isoformat()},
            },
            "limit": _PAGE,
        }
        return [str(run["id"]) for run in self._ask("POST", "/flow_runs/filter", query)]

    def propose_flow_state(self, flow_run: str, state: str, message: str) -> bool:
        """Propose a state; True if the server took it, False if its rules forbid it (the run has ended)."""
        return self._propose("flow_runs", flow_run, state, message)

    def propose_task_state(self, task_run: str, state: str, message: str) -> bool:
        """The same for a task run."""
        return self._propose("task_runs", task_run, state, message)

    def open_task_runs(self, flow_run: str) -> list[str]:
        """Ids of a flow run's task runs that have not ended."""
        query = {
            "flow_runs": {"id": {"any_": [flow_run]}},
            "task_runs": {"state": {"type": {"any_": ["PENDING", "RUNNING"]}}},
            "limit": _PAGE,
        }
        return [str(task["id"]) for task in self._ask("POST", "/task_runs/filter", query)]

    def next_runs(self, pools: Collection[str]) -> list[Mapping[str, Any]]:
        """Runs that are scheduled by the deployments of work pools, the next ones first."""
        query = {
            "work_pools": {"name": {"any_": sorted(pools)}},
            "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
            "sort": "NEXT_SCHEDULED_START_TIME_ASC",
            "limit": _PAGE,
        }
        found: list[Mapping[str, Any]] = self._ask("POST", "/flow_runs/filter", query)
        return found

    def latest_runs(self, limit: int) -> list[Mapping[str, Any]]:
        """Flow runs that have begun, the latest first."""
        query = {
            "flow_runs": {"start_time": {"is_null_": False}},
            "sort": "START_TIME_DESC",
            "limit": limit,
        }
        found: list[Mapping[str, Any]] = self._ask("POST", "/flow_runs/filter", query)
        return found

    def deployments(self, pools: Collection[str]) -> Sequence[Mapping[str, Any]]:
        """Deployments of work pools."""
        found: Sequence[Mapping[str, Any]] = self._ask(
            "POST", "/deployments/filter", {"work_pools": {"name": {"any_": sorted(pools)}}}
        )
        return found

    def _propose(self, kind: str, run: str, state: str, message: str) -> bool:
        body = {"state": {"type": state, "name": state.capitalize(), "message": message}, "force": False}
        try:
            answer = self._ask("POST", f"/{kind}/{run}/set_state", body)
        except PrefectRefused as error:
            if error.status == 404:
                return False
            raise
        return bool(answer["status"] == "ACCEPT")

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        try:
            return self._send(method, path, body)
        except PrefectRefused as error:
            if error.status != _NEEDS_TOKEN or "CSRF" not in str(error):
                raise
        self._token = self._send("GET", f"/csrf-token?client={self._client}")["token"]
        return self._send(method, path, body)

    def _send(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Content-Type": "application/json"}
        known = None if self._auth is None else self._auth.get_secret_value()
        if auth := known or os.environ.get(AUTH_VARIABLE) or self._user:
            headers["Authorization"] = "Basic " + base64.b64encode(auth.encode()).decode("ascii")
        if self._token is not None:
            headers |= {"Prefect-Csrf-Token": self._token, "Prefect-Csrf-Client": self._client}
        data = None if body is None else json.dumps(body).encode()
        try:
            request = Request(self._url + path, data=data, headers=headers, method=method)
            with build_opener().open(request, timeout=self._timeout_seconds) as response:
                content = response.read()
            return json.loads(content) if content else None
        except HTTPError as error:
            said = error.read(2000).decode("utf-8", errors="replace")
            if error.code >= 500:
                raise PrefectUnavailable(self._message(f"HTTP {error.code}")) from error
            raise PrefectRefused(error.code, self._refusal(error.code, said)) from error
        except (URLError, OSError, http.client.HTTPException, ValueError) as error:
            raise PrefectUnavailable(self._message(type(error).__name__)) from error

    def _refusal(self, status: int, said: str) -> str:
        do = (
            ": it asks for another password (MER_PREFECT_AUTH_STRING), or is another program's by now"
            if status in (401, 403)
            else ""
        )
        return f"the Prefect server at {shown_address(self._url)} refuses (HTTP {status}: {said[:300]}){do}"

    def _message(self, what: str) -> str:
        return f"the Prefect server at {shown_address(self._url)} does not answer ({what})"


class PrefectRefused(InfraError):
    """The server answered that it will not do that."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
