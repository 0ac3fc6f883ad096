"""A local copy of a folder in a bucket: new and changed objects are fetched, those that are gone are removed.

What was fetched is remembered in a journal of the bucket, a line an object (key, etag, size), written after the file is in its
place: a kill costs the objects that were on their way. A file's time of change is its object's, so that a copy that is made again
is taken for unchanged by whoever looks at size and time.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
from minio.error import S3Error

from infra.errors import InfraError, ObjectMissing, SettingsError, StoreFull, StoreUnavailable
from infra.objects.bucket_address import CORPORA_FOLDER, STATE_FOLDER, BucketAddress, is_plain
from infra.objects.interface import CHUNK_BYTES
from infra.objects.s3 import EmptyRange, minio_client, persistently
from infra.settings import Settings
from infra.whole_files import swept, write_whole

_PARTIAL_TTL_SECONDS = 3600.0


@dataclass(frozen=True)
class RemoteObject:
    """An object as a listing shows it."""

    key: str
    path: str
    """Below the prefix, and below the copy."""
    etag: str
    size: int
    """Bytes."""
    changed: float
    """Seconds since the epoch."""


@dataclass(frozen=True)
class MirrorPlan:
    """What a copy lacks."""

    fetch: tuple[RemoteObject, ...]
    """New and changed objects, by path."""
    gone: tuple[str, ...]
    """Files of the copy without an object, by path below it."""
    unchanged: int
    refused: tuple[str, ...]
    """Keys that cannot be files here (`..`, absolute, control characters, a file that would be a folder too)."""

    @property
    def bytes(self) -> int:
        """Bytes to fetch."""
        return sum(item.size for item in self.fetch)


class BucketMirror:
    """The local copy of one folder in a bucket.

    Raises:
        SettingsError: the endpoint cannot be used.
    """

    def __init__(self, address: BucketAddress, settings: Settings) -> None:
        self.address = address
        self._settings = settings
        self._timeout_seconds = settings.store_timeout_seconds
        access, secret = settings.s3_access_key, settings.s3_secret_key
        self._anonymous = access is None or secret is None
        try:
            self._minio = minio_client(
                address.endpoint,
                address.region,
                access.get_secret_value() if access else None,
                secret.get_secret_value() if secret else None,
            )
        except ValueError as error:  # the endpoint is not shown: it may have a password in it
            raise SettingsError(
                f"corpus {address.shown}: expected ?endpoint=http://HOST:PORT without user and password (MER_S3_ACCESS_KEY and "
                f"MER_S3_SECRET_KEY hold the keys), found another one: {error}"
            ) from None
        self._state = settings.cache_folder / CORPORA_FOLDER / STATE_FOLDER

    @property
    def root(self) -> Path:
        """Folder of the copy; `plan` settles it."""
        return self.address.mirror(self._settings)

    @property
    def _journal(self) -> Path:
        return self._state / f"{self.address.copy_name(self._settings)}.jsonl"

    def objects(self) -> list[RemoteObject]:
        """What lies in the bucket now, by path; an empty list where nothing does. Raises as `plan`."""
        return self._listed()[0]

    def fetched(self) -> dict[str, tuple[str, int]]:
        """Key -> (etag, size) of what this home has fetched of it, also of what is gone since."""
        return self._known()

    def plan(self) -> MirrorPlan:
        """List the bucket and compare.

        Raises:
            SettingsError: no such bucket, nothing below the prefix, or no right to list it.
            StoreUnavailable: the server does not answer within `store_timeout_seconds`.
        """
        listed, refused = self._listed()
        if not listed:
            raise SettingsError(
                f"{self.address.shown}: expected a folder of clips and labels, found no object below it at "
                f"{self.address.endpoint}; check bucket and prefix"
            )
        self._prepare(listed)
        known, root = self._known(), self.root
        fetch = [
            item
            for item in listed
            if known.get(item.key) != (item.etag, item.size) or _size(root / item.path) != item.size
        ]
        gone = sorted(set(self._files()) - {item.path for item in listed})
        return MirrorPlan(tuple(fetch), tuple(gone), len(listed) - len(fetch), tuple(refused))

    def fetch(self, objects: Iterable[RemoteObject]) -> int:
        """Fetch objects, each under a temporary name that is moved into place; returns the bytes.

        Raises:
            StoreUnavailable: the server does not answer, or breaks off for too long.
            StoreFull: no space is left.
        """
        total = 0
        for item in objects:
            with contextlib.suppress(ObjectMissing):  # removed since it was listed: the next listing knows
                total += self._fetch(item)
        return total

    def remove(self, paths: Sequence[str]) -> None:
        """Remove files whose objects are gone, and folders that this leaves empty."""
        root = self.root
        for path in paths:
            file = root / path
            file.unlink(missing_ok=True)
            for folder in file.parents:
                if folder == root or not folder.is_relative_to(root):
                    break
                with contextlib.suppress(OSError):  # not empty
                    folder.rmdir()

    def _listed(self) -> tuple[list[RemoteObject], list[str]]:
        prefix = f"{self.address.prefix}/" if self.address.prefix else ""

        def entries() -> list[Any]:
            try:
                return list(self._minio.list_objects(self.address.bucket, prefix=prefix, recursive=True))
            except S3Error as error:
                if error.code == "NoSuchBucket":
                    raise SettingsError(
                        f"{self.address.shown}: expected a bucket {self.address.bucket} at {self.address.endpoint}, found none"
                    ) from error
                raise

        objects: dict[str, RemoteObject] = {}
        refused: list[str] = []
        for entry in self._persistently("list", entries):
            key = str(entry.object_name)
            path = key.removeprefix(prefix)
            if path.endswith("/") or not path:
                continue  # the placeholder of a folder
            if not all(is_plain(part) for part in path.split("/")):
                refused.append(key)
                continue
            changed = entry.last_modified.timestamp() if entry.last_modified else 0.0
            etag = str(entry.etag or "").strip('"')
            objects[path] = RemoteObject(key, path, etag, int(entry.size or 0), changed)
        folders = {
            "/".join(path.split("/")[:depth]) for path in objects for depth in range(1, path.count("/") + 1)
        }
        refused += [objects.pop(path).key for path in sorted(folders & set(objects))]
        return [objects[path] for path in sorted(objects)], sorted(refused)

    def _fetch(self, item: RemoteObject) -> int:
        target, etag, size = self.root / item.path, "", 0

        def fill(temporary: Path) -> None:
            nonlocal etag, size
            etag, size = self._download(item, temporary)
            os.utime(temporary, (item.changed, item.changed))

        try:
            write_whole(target, fill, size=item.size)
            with self._journal.open("a", encoding="utf-8") as journal:
                journal.write(json.dumps([item.key, etag, size]) + "\n")
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreFull(str(target), item.size) from error
            raise StoreUnavailable(
                f"cannot write {target}: {error}; make it writable and run again"
            ) from error
        return size

    def _download(self, item: RemoteObject, partial: Path) -> tuple[str, int]:
        """Write the object to a file; returns the etag and size of what was read. A connection that breaks off is taken up where
        it broke, unless the object changed meanwhile.
        """
        position, etag, deadline = 0, "", time.monotonic() + self._timeout_seconds
        with partial.open("wb") as sink:
            while True:
                response = self._opened(item.key, position)
                if response is None:
                    break
                try:
                    now = str(response.headers.get("ETag", item.etag)).strip('"')
                    if position and now != etag:
                        position = 0
                        sink.truncate(0)
                        sink.seek(0)
                        continue
                    etag = now
                    for chunk in response.stream(CHUNK_BYTES):
                        sink.write(chunk)
                        position += len(chunk)
                        deadline = time.monotonic() + self._timeout_seconds
                    break
                except (urllib3.exceptions.HTTPError, ConnectionError, TimeoutError) as error:
                    if time.monotonic() > deadline:
                        raise self._explained(f"read {item.key}", error) from error
                    time.sleep(0.2)
                finally:
                    response.close()
                    response.release_conn()
        return etag or item.etag, position

    def _opened(self, key: str, position: int) -> Any:
        """A response from byte `position` on; None if there is nothing behind it."""
        try:
            return self._persistently(
                f"read {key}", lambda: self._minio.get_object(self.address.bucket, key, offset=position)
            )
        except EmptyRange:
            return None

    def _persistently(self, action: str, attempt: Any) -> Any:
        try:
            return persistently(action, attempt, self.address.endpoint, self._timeout_seconds)
        except (StoreUnavailable, SettingsError) as error:
            raise self._explained(action, error) from error

    def _explained(self, action: str, error: Exception) -> InfraError:
        """The error with the corpus it is about, and what to do."""
        where = f"corpus {self.address.shown}"
        if isinstance(error, SettingsError):
            if str(error).startswith(self.address.shown):
                return error
            keys = (
                "set MER_S3_ACCESS_KEY and MER_S3_SECRET_KEY"
                if self._anonymous
                else "check the keys and their rights"
            )
            return SettingsError(f"{where}: {error}; {keys}")
        return StoreUnavailable(
            f"{where}: cannot {action} at {self.address.endpoint}: {error}; check that the server runs and its address "
            "(?endpoint=http://HOST:PORT), and run again: what was fetched is kept"
        )

    def _has_moved(self, listed: Sequence[RemoteObject]) -> bool:
        """Whether most of the copy under the bucket's plain name is of these objects: then its server has another address now."""
        if self._journal.exists():
            return False  # this server has a copy beside the other's
        prefix = f"{self.address.prefix}/" if self.address.prefix else ""
        known = self._known(self._state / f"{self.address.bucket}.jsonl")
        there = {key: is_there for key, is_there in known.items() if key.startswith(prefix)}
        same = sum(there.get(item.key) == (item.etag, item.size) for item in listed)
        return 2 * same > len(there)  # not all was fetched, perhaps

    def _prepare(self, listed: Sequence[RemoteObject]) -> None:
        try:
            self._state.mkdir(parents=True, exist_ok=True)
            owner = self.address.owner(self._settings)
            if owner is None or (owner != self.address.endpoint and self._has_moved(listed)):
                self.address.own(self._settings)
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailable(f"cannot make the folder {self.root}: {error}") from error
        for partial in self._state.glob("*.partial"):
            swept(partial, _PARTIAL_TTL_SECONDS)

    def _known(self, journal: Path | None = None) -> dict[str, tuple[str, int]]:
        """Key -> (etag, size) of what was fetched; the line that a kill cut off is passed over."""
        known: dict[str, tuple[str, int]] = {}
        with contextlib.suppress(FileNotFoundError):
            for line in (journal or self._journal).read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError, TypeError, RecursionError):
                    key, etag, size = json.loads(line)
                    known[key] = (etag, size)
        return known

    def _files(self) -> Iterable[str]:
        root = self.root
        for folder, _, files in os.walk(root):
            for name in files:
                yield str((Path(folder) / name).relative_to(root))


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size if not path.is_symlink() else None
    except OSError:
        return None
