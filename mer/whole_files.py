"""Files and folders that are there as a whole or not at all, however the process that writes them ends.

What is written lies beside its place first, under a temporary name (`.NAME.<32 hex digits>.partial`), is synced to the disk and
then renamed. An error removes it; what a killed process left is recognised by its name and its age, and swept. Every file that
outlives a command is written by this module (tests/test_writers.py), or in `infra`, which knows nothing of `mer`, by
`infra.whole_files`, which does the same (tests/infra/test_whole_files.py).
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from mer.errors import DiskFull, WriteFailed

LEFTOVER_SECONDS = 3600.0
"""Age at which a temporary file belongs to a dead writer."""
_NAME_BYTES = 200
"""Bytes of a file's name that its temporary name repeats: file systems take 255."""
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}\.partial", re.DOTALL)
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
"""How errors of safetensors say what the system said."""
_UNSYNCED = {errno.EINVAL, errno.ENOTSUP, errno.EBADF}
"""What file systems answer that cannot sync a folder."""


def write_whole(
    path: Path,
    data: bytes | Callable[[Path], object],
    *,
    size: int | None = None,
    mode: int | None = None,
    if_absent: bool = False,
    sweep: bool = False,
) -> bool:
    """Write the file at `path`, in folders that are made; a link is followed, a device or pipe is written to as it is.

    Args:
        path: the file; one that exists is replaced in one step.
        data: its content, or a function that writes it to the path that it is given.
        size: bytes that such a function writes, where they are known, for the message.
        mode: permissions; None: those of the file that is replaced, or that any new file has.
        if_absent: leave a file that exists as it is.
        sweep: remove what dead writers of this file left beside it; for files where nothing else sweeps, in users' folders.

    Returns:
        False: there was one already, and `if_absent`.

    Raises:
        DiskFull: no space, or no more of it for this user.
        WriteFailed: it cannot be written for another reason. Either way what was there before is unchanged.
    """
    size = len(data) if isinstance(data, bytes) else size
    with _explained(path, size):
        target = _target(path)
        if target.exists() and not target.is_file():
            if target.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            _write(target, data)
            return True
        if if_absent and target.exists():
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        if sweep:
            sweep_beside(target)
        temporary = target.with_name(temporary_name(target.name))
        written = temporary if isinstance(data, bytes) else temporary / target.name
        try:
            _fill(written, data, mode)
            if mode is None and target.exists():
                written.chmod(target.stat().st_mode & 0o777)
            _sync(written)
            if if_absent:
                os.link(written, target)  # the one test-and-create in one step
            else:
                written.replace(target)
        except FileExistsError:
            if if_absent:
                return False
            raise
        finally:
            _remove(temporary)
        _sync(target.parent)
    return True


def write_folder(folder: Path, fill: Callable[[Path], object], *, last: str, size: int | None = None) -> None:
    """Write the files of `folder`: all are written before the first of them is to be seen.

    Into a folder that holds something the files are moved one by one, their record last: whoever reads it while they are moved,
    or after a kill in between, finds no record.

    Args:
        folder: made if absent; other files in it stay.
        fill: writes the files into the empty folder that it is given.
        last: name of the record, without which the folder counts for nothing.
        size: bytes that `fill` writes, where they are known, for the message.

    Raises:
        DiskFull: no space, or no more of it for this user.
        WriteFailed: it cannot be written for another reason.
    """
    with _explained(folder, size):
        target = _target(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep_beside(target)
        temporary = target.with_name(temporary_name(target.name))
        try:
            temporary.mkdir()
            fill(temporary)
            files = [path.relative_to(temporary) for path in temporary.rglob("*") if not path.is_dir()]
            for name in (*files, *{name.parent for name in files}):
                _sync(temporary / name)
            if not _moved(temporary, target):
                (target / last).unlink(missing_ok=True)
                for name in sorted(files, key=lambda name: name == Path(last)):
                    (target / name).parent.mkdir(parents=True, exist_ok=True)
                    (temporary / name).replace(target / name)
                    _sync((target / name).parent)
        finally:
            _remove(temporary)
        _sync(target.parent)


def temporary_name(name: str) -> str:
    """A name, different at each call, under which a file of this name is written."""
    return f"{_beginning(name)}{uuid.uuid4().hex}.partial"


def is_temporary(name: str) -> bool:
    """Whether a file or folder of this name is one that is being written, or was when its writer died."""
    return _TEMPORARY.fullmatch(name) is not None


def sweep_beside(path: Path, older_than_seconds: float = LEFTOVER_SECONDS) -> int:
    """Remove what dead writers of the file (or folder) at `path` left beside it; returns how many leftovers."""
    target = Path(os.path.realpath(path))
    beginning = _beginning(target.name)
    return sweep_folder(target.parent, older_than_seconds, lambda name: name.startswith(beginning))


def sweep_folder(
    folder: Path,
    older_than_seconds: float = LEFTOVER_SECONDS,
    chosen: Callable[[str], bool] = lambda name: True,
) -> int:
    """Remove what dead writers left in `folder` itself; returns how many leftovers, 0 where the folder cannot be read."""
    removed = 0
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if is_temporary(entry.name) and chosen(entry.name):
                removed += swept(Path(entry.path), older_than_seconds)
    return removed


def swept(path: Path, older_than_seconds: float = LEFTOVER_SECONDS) -> bool:
    """Remove a file or folder if it, and all in it, is older than that; returns whether it was."""
    with contextlib.suppress(OSError):  # its writer, or another sweeper, was faster
        youngest = max(item.lstat().st_mtime for item in (path, *path.rglob("*")))
        if time.time() - youngest > older_than_seconds:
            _remove(path)
            return True
    return False


def _beginning(name: str) -> str:
    return f".{os.fsdecode(os.fsencode(name)[:_NAME_BYTES])}."


def _fill(path: Path, data: bytes | Callable[[Path], object], mode: int | None) -> None:
    """Write a temporary file. A function's file lies in a temporary folder, as do temporary files that its library makes."""
    if isinstance(data, bytes):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else mode)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        usual = mode
    else:
        path.parent.mkdir()
        usual = (
            path.parent.stat().st_mode & 0o666
        )  # went through the mask of new files, which cannot be read safely
        data(path)
    if (bits := mode if mode is not None else usual) is not None:
        path.chmod(bits)


def _target(path: Path) -> Path:
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return target


def _write(target: Path, data: bytes | Callable[[Path], object]) -> None:
    if isinstance(data, bytes):
        target.write_bytes(data)
    else:
        data(target)


def _moved(temporary: Path, target: Path) -> bool:
    """Whether the folder could be renamed as a whole: nothing, or an empty folder, lies where it belongs."""
    try:
        temporary.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def _sync(path: Path) -> None:
    """Sync a file, or a folder: a name survives a power cut only once its folder is synced."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _UNSYNCED:
            raise
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _explained(path: Path, size: int | None) -> Iterator[None]:
    """Errors of the system as ours, with the path and the bytes that were to be written there."""
    try:
        yield
    except DiskFull as error:  # of a file in a temporary folder
        raise DiskFull(str(path), size or error.bytes_requested, error.reason) from error
    except WriteFailed as error:
        raise WriteFailed(str(path), size or error.bytes_requested, error.reason) from error
    except Exception as error:
        said = _OS_ERROR.search(str(error))
        number = int(said[1]) if said is not None else getattr(error, "errno", None)
        if not isinstance(error, OSError) and said is None:
            raise
        reason = os.strerror(number) if isinstance(number, int) else str(error)
        kind = DiskFull if number in (errno.ENOSPC, errno.EDQUOT) else WriteFailed
        raise kind(str(path), size, reason) from error
