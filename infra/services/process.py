"""One background process group a service: started in its own session, known by a state file, stopped as a
group.

The state file is written before the process exists for others, so a killed starter leaves nothing that cannot
be stopped. The processes carry a random mark in their environment: what is stopped is what was started,
whatever became of the ids.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from infra.errors import UNREADABLE, ServiceFailed
from infra.locking import locked
from infra.loopback import without_proxy
from infra.modes import umask_of
from infra.whole_files import write_whole

MARK = "MER_SERVICE_MARK"
STOP_SECONDS = 30.0
"""Time a leader gets to end all of its processes in good order (a database writes back what it holds)."""
SIGNAL_SECONDS = 5.0
"""Time that processes without a leader get after SIGTERM, and after SIGKILL."""


@dataclass(frozen=True)
class ServiceState:
    """Recorded state of a started service."""

    name: str
    address: str
    port: int
    pid: int
    """Leader of the process group (0: stopped)."""
    mark: str
    """Random mark in the environment of its processes (empty: stopped)."""
    started: float
    """Seconds since the epoch."""
    stop_signal: int = signal.SIGTERM


def _state_of(values: dict[str, Any]) -> ServiceState:
    """The state of a record. Raises TypeError where it is none."""
    state = ServiceState(**values)
    texts, numbers = (state.name, state.address, state.mark), (state.port, state.pid, state.stop_signal)
    if not all(isinstance(text, str) for text in texts) or not all(type(number) is int for number in numbers):
        raise TypeError("expected texts and whole numbers")
    return state


class ServiceProcess:
    """The process group of one service, below one folder."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._state = folder / f"{name}.json"
        self._lock = folder / f"{name}.lock"
        self._folder = folder

    @contextlib.contextmanager
    def exclusively(self) -> Iterator[None]:
        """Starters and stoppers of one service wait for each other. Raises HomeUnusable where files cannot be locked."""
        self._folder.mkdir(0o700, parents=True, exist_ok=True)
        with locked(self._lock):
            yield

    def state(self) -> ServiceState | None:
        """State of the process that was started last, running or not; None if there is none."""
        try:
            return _state_of(json.loads(self._state.read_text(encoding="utf-8")))
        except UNREADABLE:
            return None

    def members(self) -> list[psutil.Process]:
        """Its living processes."""
        state = self.state()
        return [] if state is None or not state.mark else _with_mark(state.mark)

    def leader_lives(self) -> bool:
        """True while the first process of the group, which was started, has not ended."""
        state = self.state()
        if state is None or not state.mark:
            return False
        with contextlib.suppress(
            psutil.Error, OSError
        ):  # most often it can be said without a look at all processes
            leader = psutil.Process(state.pid)
            if leader.environ().get(MARK) == state.mark and _is_alive(leader):
                return True
        return any(member.pid == state.pid for member in self.members())

    def environment(self) -> dict[str, str]:
        """The environment that its leader was started with; empty where it does not run."""
        state = self.state()
        for member in self.members() if state is not None else ():
            with contextlib.suppress(psutil.Error, OSError):  # it ended meanwhile
                if state is not None and member.pid == state.pid:
                    return dict(member.environ())
        return {}

    def launch(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        cwd: Path,
        *,
        address: str = "",
        port: int = 0,
        user: str | None = None,
        stop_signal: int = signal.SIGTERM,
    ) -> None:
        """Start `command` in a session of its own (as system user `user`), with its output in the log.

        `stop_signal` asks its leader to end everything.
        """
        mark = uuid.uuid4().hex
        state = ServiceState(self.name, address, port, 0, mark, time.time(), int(stop_signal))
        self._write(state)
        cwd.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
            try:
                process = subprocess.Popen(
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=cwd,
                    env={**environment, MARK: mark},
                    start_new_session=True,
                    umask=umask_of(self._folder.parent),
                    **run_as(user),
                )
            except OSError as error:
                raise ServiceFailed(f"{self.name} cannot be started: {error}") from error
        _children[process.pid] = process
        self._write(replace(state, pid=process.pid))

    def wait_ready(self, ready: Callable[[], bool], timeout_seconds: float) -> None:
        """Wait until `ready()`. Raises ServiceFailed with the end of the log on an early exit or time-out."""
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            if not self.members():
                raise ServiceFailed(f"{self.name} ended while starting; {self._log_tail()}")
            if ready():
                return
            time.sleep(0.1)
        self.stop()
        raise ServiceFailed(f"{self.name} was not ready within {timeout_seconds:.0f} s; {self._log_tail()}")

    def stop(self) -> bool:
        """End the whole group; returns whether anything ran. Raises ServiceFailed if something survives."""
        state, members = self.state(), self.members()
        if state is not None and members:
            leader = [process for process in members if process.pid == state.pid]
            _signal(leader, state.stop_signal)
            _wait_gone(leader, STOP_SECONDS)
            for number in (signal.SIGTERM, signal.SIGKILL):  # what a dead leader left, what hangs
                survivors = self.members()
                _signal(survivors, number)
                _wait_gone(survivors, SIGNAL_SECONDS)
        if left := self.members():
            raise ServiceFailed(f"{self.name} did not stop: {len(left)} processes left, e.g. {left[0]}")
        if state is not None and state.mark:
            self._write(
                replace(state, pid=0, mark="")
            )  # the port stays known: an address in a browser stays right
        return bool(members)

    def _write(self, state: ServiceState) -> None:
        write_whole(
            self._state, json.dumps(asdict(state)).encode(), mode=0o600
        )  # an address may hold a password

    def _log_tail(self) -> str:
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        return "\n".join([f"the end of {self.log}:", *lines[-20:]])


_children: dict[int, subprocess.Popen[bytes]] = {}
"""Services this process started: they must be reaped here, or they stay as zombies until it ends."""


def _with_mark(mark: str) -> list[psutil.Process]:
    """Processes that carry the mark, and their descendants (Postgres overwrites its environment)."""
    for child in list(_children.values()):  # other threads start services meanwhile
        child.poll()
    marked: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark:
                marked |= {member.pid: member for member in (process, *process.children(recursive=True))}
    return [process for process in marked.values() if _is_alive(process)]


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _signal(processes: Sequence[psutil.Process], number: int) -> None:
    for process in processes:
        with contextlib.suppress(
            psutil.NoSuchProcess
        ):  # psutil checks the start time: a reused id is no match
            process.send_signal(number)


def _wait_gone(processes: Sequence[psutil.Process], timeout_seconds: float) -> None:
    psutil.wait_procs(list(processes), timeout=timeout_seconds)


def run_as(user: str | None) -> dict[str, Any]:
    """Arguments of `subprocess` to run as `user`, without this process' groups."""
    if user is None:
        return {}
    account = pwd.getpwnam(user)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def inherited_environment(*, without: Sequence[str] = ()) -> dict[str, str]:
    """This process' environment for a child, without variables that begin with one of `without`; in it, as here, nobody asks
    servers on this machine through a proxy.
    """
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(tuple(without) or ("\0",))
    }
    return without_proxy(kept)
