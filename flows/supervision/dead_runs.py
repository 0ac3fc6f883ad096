"""Runs whose process is dead: they are marked as crashed, with their task runs and their run in MLflow.

A process is dead where its machine says so, or, seen from another machine, where its beat has stood still for `SILENT_SECONDS` by
the observer's clock. What Prefect shows is asked first and a state is only proposed: the server never lets a run that has ended
become a crashed one, so neither order nor lateness of what arrives can harm a completed run.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable

from infra.catalogue import Catalogue, RunProcessRow
from infra.machine import has_ended, this_process
from infra.prefect_api import ENDED, PrefectApi
from infra.tracking import Tracker

logger = logging.getLogger(__name__)

SILENT_SECONDS = 75.0
"""A process on another machine whose beat stands still for so long is dead; it beats every ten seconds, from two processes."""
_OPEN = frozenset({"PENDING", "RUNNING", "CANCELLING"})
"""States of a run that a living process works on: paused and scheduled runs have none."""


class Observer:
    """Which recorded processes are dead, as this machine sees it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[int, float]] = {}
        """Key -> the beat last seen, and when it was first seen."""

    def dead(self, rows: Iterable[RunProcessRow]) -> list[RunProcessRow]:
        """Records of dead processes."""
        return [row for row in rows if self._is_dead(row)]

    def _is_dead(self, row: RunProcessRow) -> bool:
        if has_ended(row.process):
            return True
        if is_here(row):
            return False
        now = self._clock()
        beat, since = self._seen.get(row.key, (row.beat, now))
        if beat != row.beat:
            since = now
        self._seen[row.key] = (row.beat, since)
        return now - since >= SILENT_SECONDS


def is_here(row: RunProcessRow) -> bool:
    """True for a process of this machine (and namespace), which can be asked whether it lives, whatever became of its beat."""
    here = this_process()
    return here is not None and (here.boot, here.namespace) == (row.process.boot, row.process.namespace)


def settle(
    dead: Collection[RunProcessRow],
    rows: Iterable[RunProcessRow],
    catalogue: Catalogue,
    api: PrefectApi,
    tracker: Tracker,
) -> list[RunProcessRow]:
    """Bring what Prefect and MLflow show of dead processes' runs to an end; returns those whose flow run was marked as crashed.

    A record is removed once there is nothing left to change: the ends of task runs may reach the server after their process' end.

    Raises:
        PrefectUnavailable: the server does not answer; what is left is done next time.
    """
    keys = {row.key for row in dead}
    alive = {row.flow_run for row in rows if row.key not in keys}
    crashed: list[RunProcessRow] = []
    for row in dead:
        changed = False
        if row.flow_run is not None and row.flow_run not in alive:  # else it was started again
            changed, is_crashed = _end_in_prefect(row, row.flow_run, api)
            if is_crashed:
                crashed.append(row)
        if row.tracked_run is not None:
            tracker.log_run(row.tracked_run, status="FAILED")
            catalogue.set_tracked_run(row.process, None)
        if not changed:
            catalogue.remove_run_process(row.key)
    return crashed


def _end_in_prefect(row: RunProcessRow, flow_run: str, api: PrefectApi) -> tuple[bool, bool]:
    """Whether anything was changed, and whether the flow run became a crashed one."""
    found = api.flow_run(flow_run)
    if found is None:
        return False, False
    state, is_crashed = str(found["state_type"]), False
    if state in _OPEN:
        end = "CANCELLED" if state == "CANCELLING" else "CRASHED"
        why = f"its process {row.process.number} on {row.host} ended without a word"
        if not api.propose_flow_state(flow_run, end, why):
            return True, False  # it ended in this moment: the next look sees how
        logger.info("%s %s: %s", row.flow, end.lower(), why)
        state, is_crashed = end, end == "CRASHED"
    if state not in ENDED:
        return False, False
    # Where the flow run completed so did its tasks: the server was away when they ended.
    end = "COMPLETED" if state == "COMPLETED" else "CRASHED"
    changed = is_crashed
    for task_run in api.open_task_runs(flow_run):
        changed |= api.propose_task_state(task_run, end, f"the flow run is {state.lower()}")
    return changed, is_crashed
