"""The heartbeat of a task worker, as a process of its own: a computation that lets nothing else run cannot stop it.

    python -m flows.workers.heartbeat ID LABEL FIRST_BEAT POOLS DEVICE      standard input: a pipe that the worker holds open

It beats while the worker lives. When the worker ends, however it ends, it says so at once, and the worker's task waits for
another worker. Where both end together (a machine that is switched off) watchers see a heartbeat that moves no more.
"""

from __future__ import annotations

import logging
import os
import select
import sys
from contextlib import suppress
from dataclasses import replace

import psutil

from flows.workers.liveness import BEAT_SECONDS
from infra.catalogue import Catalogue, ProcessRole, TaskProcessRow, open_catalogue
from infra.catalogue.utc_time import utc_now
from infra.errors import InfraError
from infra.settings import load_settings

logger = logging.getLogger(__name__)

FIRST_BEATS = 1_000_000
"""Where a heartbeat begins to count that replaces one which was ended: its beats differ from all before."""


def main() -> None:
    """Beat for the process that started this one."""
    identity, label, begins, pools, device = sys.argv[1:6]
    worker, number = os.getppid(), int(begins)
    known = TaskProcessRow(
        identity, ProcessRole.WORKER, label, number, utc_now(), tuple(pools.split(",")), device
    )
    with open_catalogue(load_settings()) as catalogue:
        while _lives(worker):
            if not _is_stopped(worker):
                number += 1
                _beat(catalogue, replace(known, beat=number))
            if select.select([sys.stdin], [], [], BEAT_SECONDS)[0] and not os.read(0, 1):
                break
        with suppress(InfraError):  # then the others see a heartbeat that moves no more
            catalogue.end_process(identity)


def _beat(catalogue: Catalogue, row: TaskProcessRow) -> None:
    try:
        catalogue.beat(row.id, row.role, row.label, row.beat, row.pools, row.device)
    except InfraError as error:  # it is tried again with the next one
        logger.warning("the heartbeat of this worker was not noted: %s", error)


def _lives(worker: int) -> bool:
    """False if the worker ended: its children then belong to another process."""
    return os.getppid() == worker


def _is_stopped(worker: int) -> bool:
    """True for a worker that was halted (SIGSTOP): it computes nothing, so its task is better run by another one."""
    with suppress(psutil.Error):
        return bool(psutil.Process(worker).status() == psutil.STATUS_STOPPED)
    return False


if __name__ == "__main__":
    main()
