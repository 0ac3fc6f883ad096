"""What a Prefect server shows of runs, as a test asks it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from e2e_installation import Installation

from infra.prefect_api import PrefectApi
from infra.services.home_secrets import prefect_auth_string

OPEN = ("PENDING", "RUNNING", "CANCELLING")


class ShownRuns:
    """Runs of one flow, or of one home where the server is its own."""

    def __init__(self, home: Installation, url: str | None = None) -> None:
        """Of the server that `home` reports to; its own, where none is configured and `url` is that server's API."""
        settings = home.settings()
        if settings.prefect_api_url is not None:
            url = settings.prefect_api_url.get_secret_value()
        assert url is not None
        self.url = url
        self.api = PrefectApi(url, auth=prefect_auth_string(settings, url))

    def flow_runs(self, states: Sequence[str] = OPEN, **filters: Any) -> list[dict[str, Any]]:
        query = {"flow_runs": {"state": {"type": {"any_": list(states)}}, **filters}, "limit": 200}
        return list(self.api._ask("POST", "/flow_runs/filter", query))

    def task_runs(self, flow_run: str, states: Sequence[str] = OPEN) -> list[dict[str, Any]]:
        query = {
            "flow_runs": {"id": {"any_": [flow_run]}},
            "task_runs": {"state": {"type": {"any_": list(states)}}},
            "limit": 200,
        }
        return list(self.api._ask("POST", "/task_runs/filter", query))

    def state(self, flow_run: str) -> str:
        found = self.api.flow_run(flow_run)
        assert found is not None
        return str(found["state_type"])

    def history(self, flow_run: str) -> list[str]:
        """Types of all states it ever had, in their order."""
        states = self.api._ask("GET", f"/flow_run_states/?flow_run_id={flow_run}")
        return [str(state["type"]) for state in sorted(states, key=lambda state: state["timestamp"])]


def wait_until(holds: Callable[[], Any], seconds: float, pause: float = 0.5) -> float:
    """Seconds until `holds()`; fails where it does not in time."""
    started = time.monotonic()
    while not holds():
        took = time.monotonic() - started
        assert took < seconds, f"not within {seconds:.0f} s"
        time.sleep(pause)
    return time.monotonic() - started
