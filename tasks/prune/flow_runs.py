"""Flow runs that are out of retention, by Prefect's API: only ours, and only those that ended.

The local server removes old runs, their task runs, logs and events by itself, hourly (`infra.services.servers`); this is for
those that run elsewhere, and for who does not want to wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowFilter, FlowRunFilter
from prefect.client.schemas.objects import FlowRun, StateType

from tasks.prune.report import Cleanup
from tasks.prune.window import Window

ENDED = (StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED)
BATCH = 100


def sweep_flow_runs(flows: Sequence[str], window: Window, cleanup: Cleanup) -> None:
    """Delete old runs of these flows; task runs and logs go with them.

    Args:
        flows: names of flows.
        window: what is old.
        cleanup: how, and what came of it.
    """
    removed = cleanup.kind("flow runs")
    with get_client(sync_client=True) as client:
        offset = 0
        while runs := old_runs(client, flows, window.used_before, offset):
            for run in runs:
                cleanup.check_time()
                removed.add()
                cleanup.do(partial(client.delete_flow_run, run.id))
            offset += len(runs) if cleanup.dry_run else 0


def old_runs(client: SyncPrefectClient, flows: Sequence[str], before: datetime, offset: int) -> list[FlowRun]:
    """Runs of these flows that ended before, a batch."""
    filters = {
        "state": {"type": {"any_": list(ENDED)}},
        "end_time": {"before_": before.isoformat()},
    }
    return client.read_flow_runs(
        flow_filter=FlowFilter.model_validate({"name": {"any_": list(flows)}}),
        flow_run_filter=FlowRunFilter.model_validate(filters),
        limit=BATCH,
        offset=offset,
    )


def at_work(but: Sequence[str] = ("prune",)) -> bool:
    """Whether a flow run is at work at the server, other than those of the flows `but`."""
    filters = {"state": {"type": {"any_": [StateType.RUNNING]}}}
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(filters), limit=BATCH)
        return any(client.read_flow(flow).name not in but for flow in {run.flow_id for run in runs})
