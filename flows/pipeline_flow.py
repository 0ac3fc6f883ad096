"""What every flow of the pipeline is: it runs its tasks where the settings say, is named and logged for people, and is watched
over where a worker runs it.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from functools import wraps
from types import SimpleNamespace
from typing import Any, ParamSpec, TypeVar, get_type_hints

import prefect
from prefect import Flow, State
from prefect.client.schemas.objects import FlowRun

from flows.observed_run import observed_run
from flows.progress import forget_stages
from flows.run_log import logged_run
from flows.run_name import run_name
from flows.runners import configured_task_runner
from flows.supervision.presence import deployed_presence, is_deployed, present_if_deployed
from flows.unattended import ended_in_time, with_retries
from infra.settings import load_settings
from tasks.stage.patient_client import be_patient_from_the_start

logger = logging.getLogger(__name__)

be_patient_from_the_start()

P = ParamSpec("P")
R = TypeVar("R")


def pipeline_flow(name: str) -> Callable[[Callable[P, R]], Flow[P, R]]:
    """Decorator of a flow; where a worker runs it, it has the time-out and retries of the settings."""
    present_if_deployed()
    timeout = load_settings().run_timeout_hours * 3600 if is_deployed() else None
    made: Callable[[Callable[P, R]], Flow[P, R]] = prefect.flow(
        name=name,
        flow_run_name=run_name,
        task_runner=configured_task_runner(),
        timeout_seconds=timeout,
        on_running=[_begin_if_deployed],
    )

    def decorate(function: Callable[P, R]) -> Flow[P, R]:
        return made(_logged(name, function))

    return decorate


def _logged(name: str, function: Callable[P, R]) -> Callable[P, R]:
    @wraps(function)
    def run(*args: P.args, **options: P.kwargs) -> R:
        forget_stages()
        with observed_run(name), logged_run():
            if not is_deployed():
                return function(*args, **options)
            settings = load_settings()
            with ended_in_time(settings):
                return with_retries(lambda: function(*args, **options), settings.run_retries)

    _state_types(run, function)
    return run


def _state_types(run: Callable[..., Any], function: Callable[..., Any]) -> None:
    """Give the wrapper the parameters' types themselves: Prefect looks for their names where the wrapper was written."""
    named = {name: kind for name, kind in function.__annotations__.items() if name != "return"}
    types = get_type_hints(SimpleNamespace(__annotations__=named), function.__globals__, include_extras=True)
    signature = inspect.signature(function)
    parameters = [item.replace(annotation=types[item.name]) for item in signature.parameters.values()]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = types


def _begin_if_deployed(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """What the command line does before its flows, where a worker runs one."""
    if (presence := deployed_presence()) is not None:
        presence.executes(flow.name, str(flow_run.id))
        from flows.upkeep import put_right

        for line in put_right():
            logger.info(line)
