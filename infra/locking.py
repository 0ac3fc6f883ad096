"""Locks on files, which die with the process that holds them.

What is locked is a file, open for writing: over NFS `flock` is a lock of bytes, which folders and files open for reading do not
have. Where the file system has no locks at all, nothing here is safe, and that is said.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.errors import HomeUnusable

_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.EINVAL}
_HELD = {errno.EWOULDBLOCK, errno.EACCES}


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of the file at `path` (made if absent), waiting for whoever holds it.

    The holder may remove the file: whoever waited for it then takes the lock of the file that is there after it.

    Raises:
        HomeUnusable: the file system has no locks, or the file cannot be written.
    """
    handle = _taken(path, fcntl.LOCK_EX)
    assert handle is not None
    try:
        yield
    finally:
        os.close(handle)


@contextmanager
def locked_now(path: Path) -> Iterator[bool]:
    """Hold the lock for the block where nobody holds it; gives False, without the lock, where somebody does.

    Raises:
        HomeUnusable: see `locked`.
    """
    handle = _taken(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield handle is not None
    finally:
        if handle is not None:
            os.close(handle)


def is_locked(path: Path) -> bool:
    """True where somebody holds the lock; makes and changes nothing."""
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _HELD
    finally:
        os.close(handle)
    return False


def _taken(path: Path, operation: int) -> int | None:
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o660)
        except OSError as error:
            raise HomeUnusable(
                f"cannot write {path}: {error.strerror}; set MER_HOME to another folder"
            ) from error
        try:
            fcntl.flock(handle, operation)
            if _is_at(handle, path):
                return handle
        except OSError as error:
            os.close(handle)
            if error.errno in _NO_LOCKS:
                raise HomeUnusable(
                    f"the file system of {path.parent} has no file locks ({error.strerror}): mount it with locks (over NFS: "
                    "a lock service), or set MER_HOME to a folder on a local disk"
                ) from error
            if error.errno in _HELD:
                return None
            raise
        os.close(handle)  # its holder removed it while we waited


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
