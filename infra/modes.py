"""Who may read what is written: everything below a home is for its owner only, or for a group that the home was opened to.

A home that is made is 0700; the mode of a folder that the user made before is not changed. What a command writes has the modes of
the home: 0600 and 0700, or group bits as well where the home has some and gives others nothing (0750, 2770: a group on purpose).
Files that hold secrets are 0600 in any case and from their first byte. A command sets this by its umask; answers that the user
asked for (`--out`) are written with the umask that the command was started with (`as_the_user_writes`).

Homes of versions before 0.5 were readable by everybody. Once, at the next start, what is known to be ours in such a home is
closed to others; what is closed is never opened, and what somebody opens after that stays open (`tighten`, which leaves a mark).
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

logger = logging.getLogger(__name__)

CLOSED = 0o077
_OTHERS, _GROUP = 0o007, 0o070
MARK = ".private"
"""File in a home whose modes were seen to."""
_OURS = (
    "backups", "cache", "catalogue.db*", "checkpoints", "data", "failures", "logs", "mlflow", "objects", "optuna.db*", "prefect",
    "reports", "services", "spool", "supervisor", "weights", "worker*",
)  # fmt: skip
"""What we write in a home: `MER_HOME` may name a folder that holds other things, which are none of our business."""

_started_with: int | None = None
_lock = threading.RLock()


def be_private() -> None:
    """Let what this process and its children write be for their owner only; a command calls it when it starts."""
    global _started_with
    with _lock:
        if _started_with is None:
            _started_with = os.umask(CLOSED)


def umask_of(home: Path) -> int:
    """The umask for what is written below `home`: nothing for others, for the group what the home gives it on purpose."""
    try:
        mode = stat.S_IMODE(home.stat().st_mode)
    except OSError:
        return CLOSED
    return CLOSED if mode & _OTHERS else _OTHERS | (~mode & _GROUP)


def follow(home: Path) -> None:
    """Write with the modes of this home from now on, in a process that is private."""
    with _lock:
        if _started_with is not None:
            os.umask(umask_of(home))


@contextlib.contextmanager
def as_the_user_writes() -> Iterator[None]:
    """Write with the umask that the command was started with: for answers that the user asked for, outside of the home."""
    with _lock:
        if _started_with is None:
            yield
            return
        ours = os.umask(_started_with)
        try:
            yield
        finally:
            os.umask(ours)


def tighten(home: Path) -> None:
    """Close an existing home of an earlier version to others, once; its group keeps what was given to it on purpose."""
    if (home / MARK).exists():
        return
    with contextlib.suppress(OSError):
        entries = list(home.iterdir())
        ours = [path for path in entries if is_ours(path)]
        closing = umask_of(home)
        changed = sum(_closed(path, closing) for path in ours)
        if ours and len(ours) == len(entries):  # else the folder is not ours alone
            changed += _chmod(home, closing)
        if changed:
            logger.warning(
                "the home %s could be read by others: what is in it is for its owner only from now on (%d files and folders; "
                "to share it with a group give it group bits by `chmod`: they are left as they are)",
                home,
                changed,
            )
        mark(home)


def is_ours(path: Path) -> bool:
    """True for what we write in a home, by its name: `path` lies in the home itself."""
    return any(path.match(pattern) for pattern in _OURS)


def mark(home: Path) -> None:
    """Say of a home that its modes were seen to."""
    with contextlib.suppress(OSError):
        (home / MARK).touch(mode=0o600)


def _closed(path: Path, closing: int) -> int:
    """Take the bits `closing` from `path` and all below it, links not followed; returns how many had some."""
    if path.is_symlink():
        return 0
    # from the leaves up: a walk that is cut short finds the folder open, and goes on next time
    below = 0
    if path.is_dir() and stat.S_IMODE(path.stat().st_mode) & closing:
        with contextlib.suppress(OSError):
            below = sum(_closed(inner, closing) for inner in path.iterdir())
    return below + _chmod(path, closing)


def _chmod(path: Path, closing: int) -> int:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & closing:
            path.chmod(mode & ~closing)
            return 1
    except OSError:  # gone meanwhile, or somebody else's
        pass
    return 0
