"""Task workers as processes of a test: kept at their number, killed at random while they work."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from e2e_installation import Installation

TASKS_OF_A_RUN = 36
"""About so many tasks of the small recipe go to workers."""


class Crew:
    """Workers of an installation, one for each of `pools`. Use as a context: at its end all are ended."""

    def __init__(self, installation: Installation, pools: Sequence[str]) -> None:
        self._installation, self._pools = installation, pools
        self._log = installation.home.with_name(f"{installation.home.name} workers.log")
        self.running = [self._start(pool) for pool in pools]

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.running:
            self._kill(process)

    @property
    def said(self) -> str:
        """What all workers printed."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def kill_one(self, draw: random.Random) -> None:
        """kill -9 a worker (its whole group, or it alone), and start another one in its place."""
        place = draw.randrange(len(self.running))
        self._kill(self.running[place], group=draw.random() < 0.5)
        self.running[place] = self._start(self._pools[place])

    def kill_while(self, going: Callable[[], bool], times: int, draw: random.Random) -> int:
        """Kill at random moments all over a run, while a worker has a task; returns how often, before `going` ended."""
        killed, begun, due = 0, set[tuple[str, int]](), 1
        with self._installation.catalogue() as catalogue:
            while killed < times and going():
                working = [
                    (task.id, task.losses) for task in catalogue.queued_tasks() if task.worker is not None
                ]
                begun.update(working)
                if working and len(begun) >= due:
                    time.sleep(draw.uniform(0.0, 1.5))
                    if going():
                        self.kill_one(draw)
                        killed += 1
                    most = TASKS_OF_A_RUN // times
                    due = len(begun) + draw.randint(most // 2, most)
                time.sleep(0.05)
        return killed

    def _start(self, pool: str) -> subprocess.Popen[bytes]:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._installation.command("worker", "--pool", pool),
                env=self._installation.variables(),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _kill(self, process: subprocess.Popen[bytes], group: bool = True) -> None:
        with suppress(ProcessLookupError):
            if group:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        process.wait()


def output_of(path: Path) -> str:
    """What a process printed into a file."""
    return path.read_text(encoding="utf-8", errors="replace")
