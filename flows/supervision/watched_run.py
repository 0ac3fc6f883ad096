"""A flow run that the command line executes in its own process, which is recorded before the run is shown as running."""

from __future__ import annotations

from typing import Any

from prefect import Flow
from prefect.context import SyncClientContext
from prefect.flow_engine import run_flow
from prefect.states import Pending

from flows.options import FlowOptions
from flows.supervision.presence import present

TAGS = ("mer", "command line")
"""Of runs that are started here; those of deployments have the deployments' tags."""


def run_watched(flow: Flow[..., Any], options: FlowOptions) -> Any:
    """Execute the flow here; returns what it returns. Raises what it raises."""
    parameters: dict[str, Any] = {"options": options}
    with present() as presence, SyncClientContext.get_or_create() as context:
        flow_run = context.client.create_flow_run(
            flow, parameters=flow.serialize_parameters(parameters), state=Pending(), tags=TAGS
        )
        presence.executes(flow.name, str(flow_run.id))
        return run_flow(flow, flow_run=flow_run, parameters=parameters)
