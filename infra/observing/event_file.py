"""The events of a machine's processes in files below the home, which stay below a size.

All processes of a machine write at the end of one file, each event by one call, so that lines do not mix. A full file is renamed,
and the oldest goes: HOST.jsonl is the newest, HOST.1.jsonl the one before. Machines that share a home have files of their own.
"""

from __future__ import annotations

import os
import re
import socket
import threading
from contextlib import suppress
from pathlib import Path

from infra.errors import HomeUnusable
from infra.locking import locked_now
from infra.settings import Settings

PARTS = 4
"""Files of a machine, the newest included: each may be as long as its part of what they may be together."""
_NOT_IN_NAMES = re.compile(r"[^\w-]")


def event_folder(settings: Settings) -> Path:
    """Where the files lie."""
    return settings.logs_folder / "events"


def event_files(settings: Settings) -> list[Path]:
    """All of them, of all machines."""
    with suppress(OSError):
        return sorted(event_folder(settings).glob("*.jsonl"))
    return []


class EventFile:
    """Writes events of this process; safe among threads and processes. It makes no home: where there is none nothing is kept."""

    def __init__(self, settings: Settings) -> None:
        self._home = settings.home
        self._folder = event_folder(settings)
        self._name = _NOT_IN_NAMES.sub("_", socket.gethostname())
        self._path = self._folder / f"{self._name}.jsonl"
        self._longest = max(1, int(settings.retention_log_megabytes * 1e6) // PARTS)
        self._lock = threading.Lock()
        self._file: int | None = None

    def __call__(self, line: str) -> None:
        """Write one line. Raises OSError."""
        with self._lock:
            file = self._opened()
            if file is not None:
                os.write(file, line.encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        """Give the file back; it is opened again where something more is written."""
        with self._lock:
            self._close()

    def _opened(self) -> int | None:
        """The newest file: another process may have renamed the one that is open, or somebody removed it."""
        if self._file is not None:
            with suppress(OSError):
                there, known = self._path.stat(), os.fstat(self._file)
                if os.path.samestat(there, known) and there.st_size < self._longest:
                    return self._file
            self._close()
        if not self._home.is_dir():
            return None
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._rotate()
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        return self._file

    def _rotate(self) -> None:
        """Rename a full file, and those before it; where another process does so now, leave it to that one."""
        with (
            suppress(HomeUnusable, FileNotFoundError),
            locked_now(self._folder / f"{self._name}.lock") as ours,
        ):
            if not ours or self._path.stat().st_size < self._longest:
                return
            for number in range(PARTS - 1, 0, -1):
                older = self._folder / (f"{self._name}.{number - 1}.jsonl" if number > 1 else self._path.name)
                with suppress(FileNotFoundError):
                    older.replace(self._folder / f"{self._name}.{number}.jsonl")

    def _close(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file)
            self._file = None
