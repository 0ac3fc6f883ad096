"""Several workers of one command: each a process with a GPU of its own, and in the place of one that dies another one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from flows.workers.gpus import own_devices
from flows.workers.pool_choice import PoolChoice

LOOK_SECONDS = 0.5
"""Time between two looks at the workers, and, for a worker, at whoever started it."""
SHORT_LIFE_SECONDS, LONGEST_PAUSE_SECONDS = 20.0, 60.0
"""A worker that dies sooner than the first is replaced after a pause that doubles each time, up to the second."""


def worker_command(pool: PoolChoice, *more: str) -> list[str]:
    """The command line of one worker."""
    return [sys.executable, "-m", "flows.cli", "worker", "--pool", pool.value, "--count", "1", *more]


def run_crew(pool: PoolChoice, count: int, gpus: Sequence[str]) -> None:
    """Keep `count` workers of a pool at work until this process is ended; those end with it."""
    say_whole(f"{count} workers of pool {pool.value}; Ctrl-C ends them")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    crew = [_Member(number, pool, own_devices(pool, number, tuple(gpus))) for number in range(count)]
    try:
        while True:
            for member in crew:
                member.look()
            time.sleep(LOOK_SECONDS)
    except KeyboardInterrupt:
        pass
    finally:
        for member in crew:
            member.end()


def end_with(starter: int) -> None:
    """End this process and its group soon after the process that started it, however that ended."""

    def watch() -> None:
        while os.getppid() == starter:
            time.sleep(LOOK_SECONDS)
        os.killpg(0, signal.SIGKILL)  # what it ran waits for another worker

    threading.Thread(target=watch, name="starter", daemon=True).start()


@dataclass
class _Member:
    """A place in the crew, and the worker that has it."""

    number: int
    pool: PoolChoice
    devices: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    began: float = 0.0
    pause: float = 0.0
    not_before: float = 0.0

    def look(self) -> None:
        """Start a worker where there is none, or the last one ended."""
        now = time.monotonic()
        if self.process is not None and self.process.poll() is not None:
            self._replace_later(now, self.process.returncode)
        if self.process is None and now >= self.not_before:
            # a group of its own: it is ended with all that it started
            self.process = subprocess.Popen(
                worker_command(self.pool, "--ends-with", str(os.getpid())),
                env={**os.environ, **self.devices},
                start_new_session=True,
            )
            self.began = now

    def end(self) -> None:
        """End the worker with its group."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _replace_later(self, now: float, code: int) -> None:
        self.end()
        self.process = None
        short = now - self.began < SHORT_LIFE_SECONDS
        self.pause = min(max(1.0, 2 * self.pause), LONGEST_PAUSE_SECONDS) if short else 0.0
        self.not_before = now + self.pause
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        say_whole(
            f"worker {self.number + 1} of pool {self.pool.value} ended {how}: another one takes its place"
        )


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def say_whole(line: str) -> None:
    """Print a line by one write: workers of a crew write to the same file, and `print` may write the end of a line by itself."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
