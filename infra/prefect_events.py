"""Events of ours at a Prefect server, which its automations react to, and reading which of these were triggered."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from infra.prefect_api import PrefectApi

TRIGGERED = "prefect.automation.triggered"
_MOST = 50
"""Events that are read at most: the newest ones."""


class EventApi(PrefectApi):
    """See `PrefectApi`; each method raises PrefectUnavailable or PrefectRefused."""

    def send_event(
        self, event: str, resource: Mapping[str, str], payload: Mapping[str, Any], flow_run: str | None = None
    ) -> None:
        """Send one event.

        Args:
            event: its name.
            resource: labels of what it is about; `prefect.resource.id` is one of them.
            payload: facts (JSON).
            flow_run: id of the flow run in which it came about; None: in none.
        """
        related = [] if flow_run is None else [_related(f"prefect.flow-run.{flow_run}", "flow-run")]
        values = {
            "id": str(uuid.uuid4()),
            "occurred": datetime.now(UTC).isoformat(),
            "event": event,
            "resource": dict(resource),
            "related": related,
            "payload": dict(payload),
        }
        self._ask("POST", "/events", [values])

    def triggered(self, since: datetime) -> Sequence[Mapping[str, Any]]:
        """Events that say that an automation was triggered, newest first (`_MOST` of them)."""
        query = {
            "filter": {
                "event": {"name": [TRIGGERED]},
                "occurred": {"since": since.isoformat(), "until": datetime.now(UTC).isoformat()},
                "order": "DESC",
            },
            "limit": _MOST,
        }
        found: Sequence[Mapping[str, Any]] = self._ask("POST", "/events/filter", query)["events"]
        return found


def _related(resource: str, role: str) -> dict[str, str]:
    return {"prefect.resource.id": resource, "prefect.resource.role": role}
