"""The home: the one folder that an installation writes to. Which one it is, and whether it can be written to.

`MER_HOME` names it. Without that it is the nearest `.mer` folder of the current folder or one above it, as `git` finds its
repository, and where there is none, `mer` in the user's data folder: the same one from wherever a command is started.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from infra import modes
from infra.errors import HomeUnusable

LOCAL_NAME = ".mer"
"""Folder that is the home of all commands started in the folder around it, or below that."""
_SAY = "set MER_HOME to a folder that you may write to"


def default_home() -> Path:
    """The home where `MER_HOME` does not name one; makes nothing.

    Raises:
        HomeUnusable: there is no `.mer`, and neither `XDG_DATA_HOME` nor the user's home folder is known.
    """
    local = _nearest_local()
    return local if local is not None else _user_data() / "mer"


def prepare_home(home: Path) -> None:
    """Make the home, for its owner only, unless it is there, and see that it can be written to; modes: see `infra.modes`.

    Raises:
        HomeUnusable: it is a file, cannot be made, or is not ours to write to.
    """
    try:
        home.mkdir(0o700, parents=True)
        modes.mark(home)
    except FileExistsError as error:
        if not home.is_dir():
            raise _unusable(home, error) from error
        modes.tighten(home)
    except OSError as error:
        raise _unusable(home, error) from error
    modes.follow(home)
    if not os.access(home, os.W_OK | os.X_OK):
        read_only = os.statvfs(home).f_flag & os.ST_RDONLY
        reason = "its file system is read-only" if read_only else "its permissions forbid this user to write"
        raise HomeUnusable(f"home {home}: expected a folder to write to, {reason}; {_SAY}")


def _nearest_local() -> Path | None:
    """The nearest `.mer` that belongs to this user: one that somebody else put above us, or links there, is not taken."""
    try:
        here = Path.cwd()
    except OSError:  # the current folder was removed
        return None
    for folder in (here, *here.parents):
        candidate = folder / LOCAL_NAME
        try:
            owners = {candidate.lstat().st_uid, candidate.stat().st_uid}
            if candidate.is_dir() and owners == {os.geteuid()}:
                return candidate
        except OSError:
            continue
    return None


def _user_data() -> Path:
    given = Path(os.environ.get("XDG_DATA_HOME", ""))
    if given.is_absolute():  # others are to be ignored, says the specification
        return given
    try:
        return Path.home() / ".local" / "share"
    except RuntimeError as error:
        raise HomeUnusable(
            f"expected HOME or MER_HOME in the environment, found neither, and this user has no home folder; {_SAY}"
        ) from error


def _unusable(home: Path, error: OSError) -> HomeUnusable:
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        around = next((folder for folder in (home, *home.parents) if folder.exists()), home)
        return HomeUnusable(f"home {home}: expected a folder, but {around} is a file; {_SAY}")
    return HomeUnusable(f"home {home}: cannot be made: {error.strerror}; {_SAY}")
