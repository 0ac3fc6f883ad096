"""The folder an unfinished stage works in: one process at a time, kept over a kill, gone after the commit."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone_in(folder: Path) -> Iterator[Path]:
    """Make `folder` and wait until nobody else works in it (the lock dies with its holder)."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        folder.mkdir(parents=True, exist_ok=True)  # whoever was before us has committed and removed it
        yield folder
    finally:
        os.close(handle)


def clear_if_abandoned(folder: Path) -> None:
    """Remove what a process killed between commit and clean-up left; a folder in use stays."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        return
    finally:
        os.close(handle)


def in_use(folder: Path) -> bool:
    """True if a stage works in the folder now or waits in it for its turn; otherwise a killed stage left it."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
