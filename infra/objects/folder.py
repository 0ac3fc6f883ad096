"""Objects as files below a local folder: written under a staging name, synced, then moved into place."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from infra.errors import InvalidKey, ObjectMissing, StoreFull, StoreUnavailable
from infra.machine import ProcessName, has_ended, this_process
from infra.objects.interface import CHUNK_BYTES, StoredObject, check_key
from infra.objects.streamed_file import write_streamed

STAGING = ".staging"
STAGING_TTL_SECONDS = 3600.0
"""A staging file this old belongs to a dead writer."""
_PARTS = "~"
"""Between the parts of a staging file's name."""


class FolderStore:
    """`ObjectStore` in a local (or mounted) folder; safe among processes on one file system."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._staging = self._root / STAGING
        try:
            self._staging.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailable(f"cannot create the object folder {self._root}: {error}") from error
        self.sweep_staging()

    def put(self, key: str, data: bytes | Path, *, if_absent: bool = False) -> bool:
        """See `ObjectStore.put`."""
        target = self._path(key)
        if if_absent and target.is_file():
            return False
        staged = self._staging / _staging_name()
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _write_synced(staged, data)
            if if_absent:
                os.link(staged, target)  # fails if the name exists: the one atomic test-and-create
            else:
                staged.replace(target)
            _sync_folder(target.parent)
        except FileExistsError:
            if target.is_file():
                return False
            raise InvalidKey(f"a prefix of {key!r} is an object itself") from None
        except (NotADirectoryError, IsADirectoryError) as error:
            raise InvalidKey(f"{key!r} is both an object and a folder of objects") from error
        except OSError as error:
            size = len(data) if isinstance(data, bytes) else _size_of(data)
            raise _translated(error, target, size) from error
        finally:
            with contextlib.suppress(OSError):  # what is stored is stored; a leftover is swept
                staged.unlink(missing_ok=True)
        return True

    def stream(self, key: str) -> Iterator[bytes]:
        """See `ObjectStore.stream`."""
        path = self._path(key)
        try:
            with path.open("rb") as source:
                while chunk := source.read(CHUNK_BYTES):
                    yield chunk
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise ObjectMissing(key) from None
        except OSError as error:
            raise _translated(error, path, None) from error

    def get(self, key: str) -> bytes:
        """See `ObjectStore.get`."""
        return b"".join(self.stream(key))

    def get_file(self, key: str, path: Path) -> None:
        """See `ObjectStore.get_file`."""
        write_streamed(path, self.stream(key), _size_of(self._path(key)))

    def exists(self, key: str) -> bool:
        """See `ObjectStore.exists`."""
        return self._path(key).is_file()

    def delete(self, key: str) -> None:
        """See `ObjectStore.delete`."""
        path = self._path(key)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise _translated(error, path, None) from error

    def listed(self, prefix: str = "") -> Iterator[StoredObject]:
        """See `ObjectStore.listed`."""
        top = self._root / prefix
        try:
            for folder, folders, names in os.walk(top, onerror=_unless_gone):
                folders[:] = [name for name in folders if not name.startswith(".")]
                for name in names:
                    path = Path(folder) / name
                    with contextlib.suppress(FileNotFoundError):  # removed since the folder was read
                        if not name.startswith("."):
                            yield _stored(path, path.relative_to(self._root).as_posix())
        except OSError as error:
            raise _translated(error, top, None) from error

    def found(self, key: str) -> StoredObject | None:
        """See `ObjectStore.found`."""
        path = self._path(key)
        try:
            return _stored(path, key) if path.is_file() else None
        except FileNotFoundError:
            return None

    def keys(self, prefix: str) -> Iterator[str]:
        """See `ObjectStore.keys`."""
        return (item.key for item in self.listed(prefix))

    def sweep_staging(self, older_than_seconds: float = STAGING_TTL_SECONDS) -> int:
        """Remove staging files of dead writers; returns how many.

        A file's age counts only where nothing else tells whether its writer lives (it is of another machine): the clock may have
        been set since, and then the file of a living writer is old, or that of a dead one will be young for years.
        """
        removed = 0
        for path in self._staging.iterdir():
            with contextlib.suppress(FileNotFoundError):  # its writer, or another sweeper, was faster
                lives = _writer_lives(path.name)
                if lives is None:
                    lives = time.time() - path.stat().st_mtime <= older_than_seconds
                if not lives:
                    path.unlink()
                    removed += 1
        return removed

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)


def _staging_name() -> str:
    """A name that no other write has, which says whose it is, where the system tells."""
    process = this_process()
    writer = (
        [] if process is None else [process.boot, process.namespace, str(process.number), str(process.start)]
    )
    return _PARTS.join([uuid.uuid4().hex, *writer])


def _writer_lives(name: str) -> bool | None:
    """Whether the writer of a staging file lives; None: it is not of this machine, or nobody knows."""
    _, *writer = name.split(_PARTS)
    process, here = ProcessName.parse("/".join(writer)), this_process()
    if process is None or here is None or process[:2] != here[:2]:
        return None
    return not has_ended(process)


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _stored(path: Path, key: str) -> StoredObject:
    facts = path.stat()
    return StoredObject(key, facts.st_size, facts.st_mtime)


def _write_synced(path: Path, data: bytes | Path) -> None:
    with path.open("xb") as sink:
        if isinstance(data, bytes):
            sink.write(data)
        else:
            with data.open("rb") as source:
                shutil.copyfileobj(source, sink, CHUNK_BYTES)
        sink.flush()
        os.fsync(sink.fileno())


def _sync_folder(folder: Path) -> None:
    """A name survives a power cut only once its folder is synced."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _translated(error: OSError, path: Path, size: int | None) -> StoreFull | StoreUnavailable:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull(str(path), size)
    return StoreUnavailable(f"cannot access {path}: {error}")
