"""A command and all its processes: processor time, the most memory they held together, and how long nothing was printed."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_EVERY = 0.5
"""Seconds between two looks at the memory."""
_PAGE, _TICKS = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Spent:
    """What a command cost."""

    processor_seconds: float
    """Of the command and its processes: as the kernel adds them up or, where that is more (nobody waited for some), as seen."""
    seconds: float
    peak_bytes: int
    """Proportional where the kernel says so (shared pages once), else resident."""
    silent_seconds: float


def spent(command: Sequence[str], environment: Mapping[str, str]) -> Spent:
    """Run a command, pass its output on, and measure it.

    Raises:
        RuntimeError: it failed (exit code 3, done with some inputs left out, is no failure).
    """
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    peak, used, ended = [0], dict[int, float](), threading.Event()
    last, silent = started, 0.0
    with subprocess.Popen(
        command, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        watching = threading.Thread(target=_watch, args=(running.pid, peak, used, ended))
        watching.start()
        assert running.stdout is not None
        for line in running.stdout:
            now = time.monotonic()
            last, silent = now, max(silent, now - last)
            sys.stdout.write(line)
            sys.stdout.flush()
        code = running.wait()
        ended.set()
        watching.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if code not in (0, 3):
        raise RuntimeError(f"{' '.join(command)} ended with {code}")
    waited_for = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Spent(
        max(waited_for, sum(used.values())),
        time.monotonic() - started,
        peak[0],
        max(silent, time.monotonic() - last),
    )


def _watch(root: int, peak: list[int], used: dict[int, float], ended: threading.Event) -> None:
    while not ended.wait(_EVERY):
        processes = _tree(root)
        peak[0] = max(peak[0], sum(map(_memory, processes)))
        used |= {process: seconds for process in processes if (seconds := _processor_seconds(process)) > 0}


def _tree(root: int) -> list[int]:
    """The process and its descendants."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError, ValueError):  # it has ended
            continue
        parents.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for process in found:
        found += parents.get(process, [])
    return found


def _processor_seconds(process: int) -> float:
    """Of the process itself; 0 once it has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS
    except (OSError, IndexError, ValueError):
        return 0.0


def _memory(process: int) -> int:
    try:
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):  # it has ended
        return 0
