"""Which process a record speaks of, and whether it still runs: ids are used again, and other machines have the same ones.

No clock is compared: the start of a process is counted from the start of its machine, whatever the time of day is set to.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

_PROC = Path("/proc")
_START, _STATUS = 19, 0
"""Fields of `/proc/<pid>/stat` behind the command's name: when the process started (ticks since the machine did), its status."""


@dataclass(frozen=True)
class ProcessIdentity:
    """One process of all that there are and were."""

    host: str
    """Name of the machine, for people."""
    boot: str
    """This start of the machine, and the namespace that the id is counted in (a container has its own)."""
    pid: int
    start: int
    """When it started, counted from the machine's start; two processes of one id differ in it."""

    @property
    def is_here(self) -> bool:
        """True where this machine can tell whether the process runs."""
        return self.boot == this_boot()

    def is_running(self) -> bool:
        """True while the process lives; may be asked only where it `is_here`."""
        return process_start(self.pid) == self.start


def this_process() -> ProcessIdentity:
    """The process that asks."""
    return identity_of(os.getpid())


def identity_of(pid: int) -> ProcessIdentity:
    """A process of this machine.

    Raises:
        ProcessLookupError: it does not run.
    """
    start = process_start(pid)
    if start is None:
        raise ProcessLookupError(f"no process {pid} runs here")
    return ProcessIdentity(socket.gethostname(), this_boot(), pid, start)


def process_start(pid: int) -> int | None:
    """When a process of this machine started; None where it does not run, or only waits for its parent to notice its end."""
    if not (_PROC / "self" / "stat").exists():
        try:
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            return int(process.create_time() * 100)
        except psutil.Error:
            return None
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name in parentheses may hold blanks and parentheses
    return None if fields[_STATUS] in "ZX" else int(fields[_START])


@cache
def this_boot() -> str:
    """This start of this machine, and this process' namespace of ids."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{(_PROC / 'self/ns/pid').readlink()}"
    except OSError:  # not Linux: the machine's name must do, and a reused id is told by its start
        return socket.gethostname()
