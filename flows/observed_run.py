"""What is said and counted of a flow run, in the one place that begins it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.context import FlowRunContext

from flows.explained_errors import explained
from infra.hidden_secrets import traceback_of
from infra.observing import ERROR, INFO, count, flush_totals, logged, record, set_latest

RUNS, RUN_SECONDS, LAST_RUN = (
    "mer_flow_runs_total",
    "mer_flow_run_seconds_total",
    "mer_last_run_timestamp_seconds",
)
_LOGGER = "flows"


@contextmanager
def observed_run(flow: str) -> Iterator[None]:
    """Run a flow inside: events inside name its run; how it ended is an event and a count."""
    context = FlowRunContext.get()
    run = context.flow_run if context is not None else None
    began, outcome = time.monotonic(), "completed"
    with logged(flow=flow, flow_run=str(run.id) if run else None, flow_run_name=run.name if run else None):
        record(INFO, _LOGGER, f"flow {flow} begins")
        try:
            yield
        except BaseException as error:
            outcome = "failed"
            said = explained(error)
            more = {} if said is not None else {"traceback": traceback_of(error)[-4000:]}
            record(ERROR, _LOGGER, f"flow {flow} ended by {type(error).__name__}: {said or error}", **more)
            raise
        finally:
            seconds = time.monotonic() - began
            if outcome == "completed":
                record(INFO, _LOGGER, f"flow {flow} ended after {seconds:.1f} s", seconds=round(seconds, 3))
            count(RUNS, flow=flow, outcome=outcome)
            count(RUN_SECONDS, seconds, flow=flow)
            set_latest(LAST_RUN, time.time(), flow=flow, outcome=outcome)
            flush_totals()
