"""The folder an unfinished stage works in: one process at a time, kept over a kill, gone after the commit."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.locking import is_locked, locked, locked_now

_LOCK = ".lock"


@contextmanager
def alone_in(folder: Path) -> Iterator[Path]:
    """Make `folder` and wait until nobody else works in it (the lock dies with its holder).

    Raises:
        HomeUnusable: files cannot be locked there.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(_lock(folder)):
        folder.mkdir(exist_ok=True)  # whoever was before us has committed and removed it
        yield folder
        if not folder.exists():
            _lock(folder).unlink(missing_ok=True)


def clear_if_abandoned(folder: Path, still: Callable[[], bool] = lambda: True) -> bool:
    """Remove what a killed process left, its lock included; a folder in use stays. Returns whether it was removed.

    `still`: whether it is to be removed, asked once nobody else can begin to work in it.
    """
    if not folder.is_dir() and not _lock(folder).exists():  # a kill may leave the lock alone
        return False
    with locked_now(_lock(folder)) as ours:
        if not ours or not still():
            return False
        shutil.rmtree(folder, ignore_errors=True)
        _lock(folder).unlink(missing_ok=True)
    return True


def work_folders(root: Path) -> list[Path]:
    """Work folders of all stages below `settings.checkpoint_folder`, those of which a kill left the lock alone included."""
    folders = {path.with_suffix("") if path.suffix == _LOCK else path for path in root.glob("*/*")}
    return sorted(folders)


def in_use(folder: Path) -> bool:
    """True if a stage works in the folder now or waits in it for its turn; otherwise a killed stage left it."""
    return is_locked(_lock(folder))


def _lock(folder: Path) -> Path:
    """Beside the folder: a folder cannot be locked everywhere, and what lies in it goes with it."""
    return folder.with_name(f"{folder.name}{_LOCK}")
