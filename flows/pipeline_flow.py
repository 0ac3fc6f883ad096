"""What every flow of the pipeline is: it runs its tasks where the settings say, and is watched over where a worker runs it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import prefect
from prefect import Flow, State
from prefect.client.schemas.objects import FlowRun

from flows.runners import configured_task_runner
from flows.supervision.presence import deployed_presence, present_if_deployed
from tasks.stage.patient_client import be_patient_from_the_start

logger = logging.getLogger(__name__)

be_patient_from_the_start()

P = ParamSpec("P")
R = TypeVar("R")


def pipeline_flow(name: str) -> Callable[[Callable[P, R]], Flow[P, R]]:
    """Decorator of a flow."""
    present_if_deployed()
    made: Callable[[Callable[P, R]], Flow[P, R]] = prefect.flow(
        name=name, task_runner=configured_task_runner(), on_running=[_begin_if_deployed]
    )
    return made


def _begin_if_deployed(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """What the command line does before its flows, where a worker runs one."""
    if (presence := deployed_presence()) is not None:
        presence.executes(flow.name, str(flow_run.id))
        from flows.upkeep import put_right

        for line in put_right():
            logger.info(line)
