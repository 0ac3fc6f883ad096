"""Processes that execute flow runs: which they are, which run and which tracked run is theirs, and that they still live.

A process adds its record before its run is shown as running, so no run runs without one. Its own machine asks for it by its id;
other machines watch whether its `beat` goes on counting, by their own clocks: no two clocks are compared.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select, update

from infra.catalogue.database import Database
from infra.catalogue.tables import RunProcess
from infra.machine import ProcessName, this_process


@dataclass(frozen=True)
class RunProcessRow:
    """A process that executes a flow run, as it was recorded."""

    key: str
    flow: str
    """Name of the flow; empty before it begins."""
    host: str
    """Name of its machine, for people."""
    process: ProcessName
    server: str
    """API of the Prefect server that it reports to, without user."""
    flow_run: str | None
    """Id of its flow run in Prefect; None before it has one."""
    tracked_run: str | None
    """Name of its parent run in the tracker while that is open."""
    beat: int
    """Grows while the process is known to live."""
    unrecorded: bool
    """The Prefect server was away while it ran: ends of its task runs may not have been recorded there."""
    started_at: datetime


def executing_process() -> ProcessName:
    """This process; where the system names none, by its host and number, and then only its beat tells that it lives."""
    return this_process() or ProcessName(socket.gethostname(), "", os.getpid(), 0)


class RunProcessCatalogue:
    """Records of processes that execute flow runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_run_process(self, process: ProcessName, server: str, flow_run: str | None = None) -> str:
        """Record a process of this machine that is about to execute a flow run; returns the key of the record.

        `server`: address of the API that it reports to, without user.
        """
        key = uuid.uuid4().hex
        values = {
            "key": key,
            "flow": "",
            "host": socket.gethostname(),
            "process": str(process),
            "server": server,
            "flow_run": flow_run,
            "beat": 0,
            "unrecorded": False,
        }
        with self._database.writing() as connection:
            connection.execute(insert(RunProcess).values(values))
        return key

    def run_processes(self) -> list[RunProcessRow]:
        """All records, oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute(select(RunProcess.__table__).order_by(RunProcess.started_at)).all()
        return [
            RunProcessRow(
                row.key,
                row.flow,
                row.host,
                process,
                row.server,
                row.flow_run,
                row.tracked_run,
                row.beat,
                row.unrecorded,
                row.started_at,
            )
            for row in rows
            if (process := ProcessName.parse(row.process)) is not None
        ]

    def set_flow_run(self, key: str, flow: str, flow_run: str) -> None:
        """Say which flow run, of which flow, the process executes."""
        with self._database.writing() as connection:
            ours = update(RunProcess).where(RunProcess.key == key)
            connection.execute(ours.values(flow=flow, flow_run=flow_run))

    def set_tracked_run(self, process: ProcessName, tracked_run: str | None) -> None:
        """Say which run of the tracker is open for a process; None: it was closed. No error where the process has no record."""
        with self._database.writing() as connection:
            ours = update(RunProcess).where(RunProcess.process == str(process))
            connection.execute(ours.values(tracked_run=tracked_run))

    def set_unrecorded(self, key: str) -> None:
        """Say that the Prefect server was away while the process ran."""
        with self._database.writing() as connection:
            connection.execute(update(RunProcess).where(RunProcess.key == key).values(unrecorded=True))

    def beat_run_processes(self, keys: Collection[str]) -> None:
        """Say that these processes live."""
        if not keys:
            return
        with self._database.writing() as connection:
            beaten = update(RunProcess).where(RunProcess.key.in_(list(keys)))
            connection.execute(beaten.values(beat=RunProcess.beat + 1))

    def remove_run_process(self, key: str) -> None:
        """The run has ended, and was recorded so; no error where the record is gone."""
        with self._database.writing() as connection:
            connection.execute(delete(RunProcess).where(RunProcess.key == key))
