"""This machine and its processes, by what no setting of the clock changes: which boot it is, how long ago that was, who lives.

Linux tells all of it in /proc. Elsewhere nothing is known, and then nobody is said to be dead and no two times are compared.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_ENDED = {"Z", "X", "x"}
"""States of a process that only waits for its parent to look."""


class ProcessName(NamedTuple):
    """A process as no other one is ever called: numbers are given again, and mean something within a boot and namespace only."""

    boot: str
    """Boot of the kernel, which containers share."""
    namespace: str
    """In which the number counts, e.g. that of a container."""
    number: int
    start: int
    """Ticks from boot to its start."""

    def __str__(self) -> str:
        return f"{self.boot}/{self.namespace}/{self.number}/{self.start}"

    @classmethod
    def parse(cls, text: str) -> ProcessName | None:
        """What `str` gave; None for any other text."""
        parts = text.split("/")
        if len(parts) != 4 or not (parts[2].isdecimal() and parts[3].isdecimal()):
            return None
        return cls(parts[0], parts[1], int(parts[2]), int(parts[3]))


def boot_id() -> str | None:
    """Random name of this boot; None where the system has none."""
    try:
        return _BOOT.read_text(encoding="ascii").strip() or None
    except OSError:
        return None


def seconds_since_boot() -> float:
    """By a clock that nobody sets and that goes on while the machine sleeps; comparable within a boot only."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def this_process() -> ProcessName | None:
    """The name of the process that asks; None where the system does not tell."""
    return process_name(os.getpid())


def process_name(number: int) -> ProcessName | None:
    """The name of a process of this machine; None: there is none of this number, or the system does not tell."""
    boot, namespace, found = boot_id(), _namespace(), _state_and_start(number)
    if boot is None or namespace is None or found is None:
        return None
    return ProcessName(boot, namespace, number, found[1])


def has_ended(process: ProcessName) -> bool:
    """True only where that is sure: the process is of this boot and namespace, and is no more.

    One of another boot may live on another machine, so it is not called dead here.
    """
    if process.boot != boot_id() or process.namespace != _namespace():
        return False
    found = _state_and_start(process.number)
    return found is None or found[0] in _ENDED or found[1] != process.start


def _namespace() -> str | None:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None


def _state_and_start(number: int) -> tuple[str, int] | None:
    """State and start of a process; None: there is none of this number."""
    try:
        text = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # its name, in brackets, may hold anything
    return fields[0], int(fields[19])
