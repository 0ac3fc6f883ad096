"""Pickles, npz archives, Parquet tables and workbooks, each read in a process of its own with limited memory and time.

What such a file makes of its reader cannot be told from its size: 12 bytes of a pickle ask for 2 GiB, keys that collide take
hours, a compressed column stands for 10^9 rows, lists that hold each other grow when they are written out. So the reader has
1 GiB and four times the file's size of memory, and 20 s of processor time and another for every 20 MB (Linux; elsewhere the time
alone, by the clock), and only plain data comes back (`plain_data`).
"""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mer.corpora.contained_reader_worker import READERS
from mer.corpora.contained_reader_worker import __name__ as _MODULE
from mer.corpora.plain_data import read_plain
from mer.errors import CorpusError

_PACKAGE_ROOT = Path(__file__).resolve().parents[2]
_ATTEMPTS = 2
"""A reader that somebody killed, or a system short of memory, is no fault of the file's."""
_REMEMBERED_BYTES = 16 << 20
_PATIENCE = 6
"""Seconds of the clock for one of processor time, on a busy machine."""


@dataclass(frozen=True)
class ReaderLimits:
    """What reading one file may take."""

    memory_bytes: int
    """Beyond the reader's libraries."""
    processor_seconds: int
    file_bytes: int
    """Written for what was read."""

    @classmethod
    def of(cls, path: Path) -> ReaderLimits:
        """Limits for the file at `path`, by its size."""
        size = path.stat().st_size
        return cls((1 << 30) + 4 * size, math.ceil(20 + size / 20e6), (512 << 20) + 2 * size)


def read_contained(kind: str, path: Path, limits: ReaderLimits | None = None) -> Any:
    """Read a file of a kind among `READERS`; returns the plain data that its reader gives.

    Raises:
        CorpusError: the reader refused the file, crashed, or ran into a limit.
        OSError: the file is not there, or no space is left for what it holds.
    """
    if kind not in READERS:
        raise ValueError(f"expected one of {', '.join(READERS)}, found {kind!r}")
    status = path.stat()
    if limits is None and status.st_size <= _REMEMBERED_BYTES:
        return _remembered(kind, path.absolute(), (status.st_ino, status.st_size, status.st_mtime_ns))
    return _read(kind, path, limits or ReaderLimits.of(path))


@lru_cache(maxsize=4)
def _remembered(kind: str, path: Path, _state: tuple[int, int, int]) -> Any:
    """A small file is read twice where a corpus is looked at and then ingested; nobody changes what was read."""
    return _read(kind, path, ReaderLimits.of(path))


def _read(kind: str, path: Path, limits: ReaderLimits) -> Any:
    with tempfile.TemporaryDirectory(prefix="mer-reading-") as folder:
        for attempt in range(_ATTEMPTS):
            status, said = _run(kind, path, Path(folder), limits)
            if status != -signal.SIGKILL or attempt == _ATTEMPTS - 1:
                break
        if status != 0:
            raise CorpusError(_ended(status, path, limits))
        try:
            head = json.loads(said)
        except ValueError:
            raise CorpusError(f"{path.name}: its reader gave no proper answer") from None
        if "full" in head:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), folder)
        if "refused" in head:
            raise CorpusError(str(head["refused"]))
        return read_plain(Path(folder))


def _run(kind: str, path: Path, folder: Path, limits: ReaderLimits) -> tuple[int | None, bytes]:
    """Exit status (None: too late) and what was said."""
    numbers = (limits.memory_bytes, limits.processor_seconds, limits.file_bytes)
    command = [sys.executable, "-m", _MODULE, kind, str(path.absolute()), str(folder), *map(str, numbers)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system"},  # its own reserves more than the limit
            cwd=_PACKAGE_ROOT,  # comes first on the child's path: it runs the same copy as we do
            timeout=_PATIENCE * limits.processor_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None, b""
    return done.returncode, done.stdout


def _ended(status: int | None, path: Path, limits: ReaderLimits) -> str:
    if status is None or status == -signal.SIGXCPU:
        return (
            f"{path.name} takes more than {limits.processor_seconds} s to read: refused. If it is yours, save it again as plain "
            "arrays or a table"
        )
    if status == -signal.SIGXFSZ:
        return f"{path.name} holds more than {limits.file_bytes} bytes when it is read: refused"
    names = {-item.value: item.name for item in signal.Signals}
    return f"{path.name}: its reader ended with {names.get(status, f'status {status}')}"
