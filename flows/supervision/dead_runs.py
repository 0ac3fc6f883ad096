"""Runs whose process is dead: they are marked as crashed, with their task runs and their run in MLflow.

A process is dead where its machine says so, or, seen from another machine, where its beat has stood still for `SILENT_SECONDS` by
the observer's clock. What Prefect shows is asked first and a state is only proposed: the server never lets a run that has ended
become a crashed one, so neither order nor lateness of what arrives can harm a completed run.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime, timedelta

from infra.catalogue import Catalogue, RunProcessRow
from infra.errors import PrefectUnavailable
from infra.machine import has_ended, this_process
from infra.prefect_api import ENDED, PrefectApi, PrefectRefused
from infra.services.deaths import is_served_by
from infra.services.home_secrets import prefect_auth_string
from infra.settings import Settings
from infra.tracking import Tracker

logger = logging.getLogger(__name__)

SILENT_SECONDS = 75.0
"""A process on another machine whose beat stands still for so long is dead; it beats every ten seconds, from two processes."""
GIVEN_UP_AFTER = timedelta(days=30)
"""So long after its start a dead run is looked after where its server does not answer."""
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


class Settling:
    """Brings what Prefect and MLflow show of dead processes' runs to an end."""

    def __init__(self, settings: Settings, catalogue: Catalogue) -> None:
        self._settings, self._catalogue = settings, catalogue
        self._tracker = Tracker(settings)

    def settle(self, dead: Collection[RunProcessRow], rows: Iterable[RunProcessRow]) -> list[RunProcessRow]:
        """End what is left of the `dead` among all records `rows`; returns those whose flow run was marked as crashed.

        A record is removed once there is nothing left to change: ends of task runs may reach the server after their process' end.
        A server that does not answer is asked once, however many runs it has: a start waits for this.

        Raises:
            PrefectUnavailable, PrefectRefused: a server does not answer; what is left is done next time.
        """
        keys = {row.key for row in dead}
        alive = {row.flow_run for row in rows if row.key not in keys}
        crashed: list[RunProcessRow] = []
        failed: Exception | None = None
        silent: set[str] = set()
        for row in dead:
            if row.server in silent and row.flow_run is not None and row.flow_run not in alive:
                continue
            try:
                if row.flow_run is None or row.flow_run in alive:  # it did not begin, or was begun again
                    self._catalogue.remove_run_process(row.key)
                elif self._end(row, row.flow_run):
                    crashed.append(row)
            except (PrefectUnavailable, PrefectRefused) as error:
                failed = error
                silent.add(row.server)
                if self._is_given_up(row):
                    logger.info("%s at %s is not asked for any more: no answer", row.flow, row.server)
                    self._catalogue.remove_run_process(row.key)
        if failed is not None:
            raise failed
        return crashed

    def _is_given_up(self, row: RunProcessRow) -> bool:
        """True for an old run of a server that is not this home's: it may be gone for good."""
        old = datetime.now(UTC) - row.started_at > GIVEN_UP_AFTER
        return old and not is_served_by("prefect", f"{row.server}/", self._settings)

    def _end(self, row: RunProcessRow, flow_run: str) -> bool:
        """End one; True where its flow run became a crashed one now."""
        api = PrefectApi(row.server, auth=prefect_auth_string(self._settings, row.server))
        found = api.flow_run(flow_run)
        state = None if found is None else str(found["state_type"])
        is_crashed = False
        if state in _OPEN:
            end = "CANCELLED" if state == "CANCELLING" else "CRASHED"
            why = f"its process {row.process.number} on {row.host} ended without a word"
            if not api.propose_flow_state(flow_run, end, why):
                return False  # it ended in this moment: the next look sees how
            logger.info("%s %s: %s", row.flow, end.lower(), why)
            state, is_crashed = end, end == "CRASHED"
        changed = is_crashed
        if state in ENDED:
            # Where the flow run completed so did its tasks: the server was away when they ended.
            end = "COMPLETED" if state == "COMPLETED" else "CRASHED"
            for task_run in api.open_task_runs(flow_run):
                changed |= api.propose_task_state(task_run, end, f"the flow run is {state}")
        if row.tracked_run is not None and state != "COMPLETED":
            self._tracker.log_run(row.tracked_run, status="FAILED")
            self._catalogue.set_tracked_run(row.process, None)
        if not changed:
            self._catalogue.remove_run_process(row.key)
        return is_crashed
