"""Objects in S3 (MinIO, SeaweedFS, AWS): `minio` for buckets and reading, `obstore` for conditional creation.

minio-py's `put_object` cannot be conditional (a header passed as metadata silently does nothing), and some S3
servers ignore
`If-None-Match`: so `open_s3_store` tries it out and refuses a server on which two writers could both win.
"""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import obstore
import urllib3
from minio import Minio
from minio.error import S3Error
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store as ObstoreS3

from infra.errors import ObjectMissing, SettingsError, StoreUnavailable, StoreUnsuitable
from infra.objects.interface import CHUNK_BYTES, StoredObject, check_key
from infra.objects.streamed_file import write_streamed
from infra.settings import Settings
from infra.shown_address import shown_address

logger = logging.getLogger(__name__)
Result = TypeVar("Result")

_REQUEST_SECONDS = 15.0
"""Longest silence within one request."""
_MISSING = {"NoSuchKey", "NoSuchObject", "NoSuchVersion"}
_FATAL = {
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidBucketName",
    "AuthorizationHeaderMalformed",
}
_PAGE = 1000
"""Keys listed at a time."""
_BULK_BYTES = 8 << 20
"""From here on a file goes up in parts (by minio)."""


@dataclass(frozen=True)
class S3Address:
    """What `s3://BUCKET[/PREFIX]?endpoint=URL[&region=NAME]` says."""

    bucket: str
    prefix: str
    endpoint: str
    region: str

    @classmethod
    def parse(cls, url: str) -> S3Address:
        """Raises SettingsError if bucket or endpoint is missing."""
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        endpoint = query.get("endpoint", ["https://s3.amazonaws.com"])[0].rstrip("/")
        if parts.scheme != "s3" or not parts.netloc or not urlsplit(endpoint).netloc:
            raise SettingsError(
                f"expected s3://BUCKET[/PREFIX]?endpoint=http://HOST:PORT, found {shown_address(url)!r}"
            )
        if "@" in parts.netloc or shown_address(endpoint) != endpoint:
            raise SettingsError(
                "expected MER_OBJECT_STORE_URL without user and password (MER_S3_ACCESS_KEY and MER_S3_SECRET_KEY hold the "
                f"keys), found {shown_address(url)!r}"
            )
        prefix = parts.path.strip("/")
        if prefix:
            check_key(prefix)
        return cls(parts.netloc, prefix, endpoint, query.get("region", ["us-east-1"])[0])


def open_s3_store(settings: Settings) -> S3Store:
    """Open the bucket, creating it if absent, and make sure that conditional creation works.

    Raises:
        SettingsError: URL or keys are missing or refused.
        StoreUnavailable: no answer within `store_timeout_seconds`.
        StoreUnsuitable: the server ignores `If-None-Match`.
    """
    with _refused(settings):
        store = s3_store(settings)
        store.prepare()
    return store


def s3_store(settings: Settings) -> S3Store:
    """The bucket as it is; nothing is made in it.

    Raises:
        SettingsError: URL or keys are missing or refused.
    """
    if settings.s3_access_key is None or settings.s3_secret_key is None:
        raise SettingsError("an S3 object store needs MER_S3_ACCESS_KEY and MER_S3_SECRET_KEY")
    address = S3Address.parse(settings.object_store_url)
    with _refused(settings):
        return S3Store(
            address,
            settings.s3_access_key.get_secret_value(),
            settings.s3_secret_key.get_secret_value(),
            settings.store_timeout_seconds,
        )


@contextlib.contextmanager
def _refused(settings: Settings) -> Iterator[None]:
    """What the clients say of a bucket or endpoint that cannot be one."""
    try:
        yield
    except ValueError as error:
        raise SettingsError(
            f"MER_OBJECT_STORE_URL={shown_address(settings.object_store_url)}: {error}"
        ) from error


class S3Store:
    """`ObjectStore` in an S3 bucket."""

    def __init__(self, address: S3Address, access_key: str, secret_key: str, timeout_seconds: float) -> None:
        self._address = address
        self._timeout_seconds = timeout_seconds
        endpoint = urlsplit(address.endpoint)
        self._minio = minio_client(address.endpoint, address.region, access_key, secret_key)
        self._obstore = ObstoreS3(
            address.bucket,
            endpoint=address.endpoint,
            access_key_id=access_key,
            secret_access_key=secret_key,
            region=address.region,
            virtual_hosted_style_request=False,
            client_options={
                "allow_http": endpoint.scheme == "http",
                "connect_timeout": "3s",
                "timeout": f"{_REQUEST_SECONDS:.0f}s",
            },
            retry_config={"max_retries": 0},
        )

    def prepare(self) -> None:
        """Create the bucket if absent, and try out conditional creation."""
        self._persistently("open the bucket", self._create_bucket)
        key = f"probes/{uuid.uuid4().hex}"
        try:
            if not self.put(key, b"first", if_absent=True) or self.put(key, b"second", if_absent=True):
                raise StoreUnsuitable(
                    f"the S3 server at {shown_address(self._address.endpoint)} ignores If-None-Match: two writers of one "
                    "artifact could both win; use one that honours it (MinIO, SeaweedFS, AWS)"
                )
        finally:
            with contextlib.suppress(StoreUnavailable):
                self.delete(key)

    def put(self, key: str, data: bytes | Path, *, if_absent: bool = False) -> bool:
        """See `ObjectStore.put`."""
        name = self._name(key)
        if not if_absent:
            self._persistently(f"write {key}", lambda: self._put_any(name, data))
            return True
        attempts = 0

        def create() -> bool:
            nonlocal attempts
            attempts += 1
            try:
                obstore.put(self._obstore, name, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                # An earlier attempt of ours may have succeeded though its answer was lost.
                return attempts > 1 and self._holds(name, data)
            return True

        return self._persistently(f"create {key}", create)

    def stream(self, key: str) -> Iterator[bytes]:
        """See `ObjectStore.stream`. A connection that breaks off is taken up where it broke."""
        position, deadline = 0, time.monotonic() + self._timeout_seconds
        while True:
            response = self._open(key, position)
            if response is None:
                return
            try:
                for chunk in response.stream(CHUNK_BYTES):
                    yield chunk
                    position += len(chunk)
                return
            except (urllib3.exceptions.HTTPError, OSError) as error:
                if time.monotonic() > deadline:
                    raise self._unavailable(f"read {key}", error) from error
                time.sleep(0.2)
            finally:
                response.close()
                response.release_conn()

    def get(self, key: str) -> bytes:
        """See `ObjectStore.get`."""
        return b"".join(self.stream(key))

    def get_file(self, key: str, path: Path) -> None:
        """See `ObjectStore.get_file`."""
        write_streamed(path, self.stream(key))

    def exists(self, key: str) -> bool:
        """See `ObjectStore.exists`."""
        name = self._name(key)
        try:
            self._persistently(f"look up {key}", lambda: self._minio.stat_object(self._address.bucket, name))
        except ObjectMissing:
            return False
        return True

    def delete(self, key: str) -> None:
        """See `ObjectStore.delete`."""
        name = self._name(key)
        with contextlib.suppress(ObjectMissing):
            self._persistently(f"delete {key}", lambda: self._minio.remove_object(self._address.bucket, name))

    def listed(self, prefix: str = "") -> Iterator[StoredObject]:
        """See `ObjectStore.listed`. A listing that breaks off is taken up behind the last key that it gave."""
        above = f"{self._address.prefix}/" if self._address.prefix else ""
        last = ""

        def page() -> list[Any]:
            return self._page(above + prefix, last)

        while entries := self._persistently(f"list {prefix}", page):
            yield from (_stored(entry, str(entry.object_name).removeprefix(above)) for entry in entries)
            last = str(entries[-1].object_name)

    def found(self, key: str) -> StoredObject | None:
        """See `ObjectStore.found`."""
        name = self._name(key)
        try:
            entry = self._persistently(
                f"look up {key}", lambda: self._minio.stat_object(self._address.bucket, name)
            )
        except ObjectMissing:
            return None
        return _stored(entry, key)

    def keys(self, prefix: str) -> Iterator[str]:
        """See `ObjectStore.keys`."""
        return (item.key for item in self.listed(prefix))

    def _page(self, prefix: str, last: str) -> list[Any]:
        listed = self._minio.list_objects(
            self._address.bucket, prefix, recursive=True, start_after=last or None
        )
        try:
            return list(islice(listed, _PAGE))
        except S3Error as error:
            if error.code == "NoSuchBucket":
                return []
            raise

    def _name(self, key: str) -> str:
        check_key(key)
        return f"{self._address.prefix}/{key}" if self._address.prefix else key

    def _open(self, key: str, position: int) -> Any:
        """A response from byte `position` on; None if there is nothing behind it."""
        name = self._name(key)

        def get() -> Any:
            return self._minio.get_object(self._address.bucket, name, offset=position)

        try:
            return self._persistently(f"read {key}", get)
        except EmptyRange:
            return None

    def _create_bucket(self) -> None:
        if not self._minio.bucket_exists(self._address.bucket):
            try:
                self._minio.make_bucket(self._address.bucket)
            except S3Error as error:
                if error.code not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                    raise

    def _put_any(self, name: str, data: bytes | Path) -> None:
        if isinstance(data, Path) and data.stat().st_size >= _BULK_BYTES:
            self._minio.fput_object(self._address.bucket, name, str(data))
        else:
            obstore.put(self._obstore, name, data)

    def _holds(self, name: str, data: bytes | Path) -> bool:
        content = data if isinstance(data, bytes) else data.read_bytes()
        response: Any = self._minio.get_object(self._address.bucket, name)
        try:
            return bool(response.read() == content)
        finally:
            response.close()
            response.release_conn()

    def _persistently(self, action: str, attempt: Callable[[], Result]) -> Result:
        """Try until it works or `store_timeout_seconds` are over."""
        return persistently(action, attempt, self._address.endpoint, self._timeout_seconds)

    def _unavailable(self, action: str, error: Exception) -> StoreUnavailable:
        return _unavailable(action, error, self._address.endpoint, self._timeout_seconds)


def _stored(entry: Any, key: str) -> StoredObject:
    return StoredObject(
        key, int(entry.size or 0), entry.last_modified.timestamp() if entry.last_modified else 0.0
    )


class EmptyRange(Exception):
    """A read from behind the end: everything was there before the connection broke."""


def minio_client(endpoint: str, region: str, access_key: str | None, secret_key: str | None) -> Minio:
    """A client that waits for a silent server only so long; without keys it asks anonymously."""
    parts = urlsplit(endpoint)
    return Minio(
        parts.netloc,
        access_key=access_key,
        secret_key=secret_key,
        secure=parts.scheme == "https",
        region=region,
        http_client=urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=3.0, read=_REQUEST_SECONDS),
            maxsize=16,
            retries=False,  # `persistently` retries, within a limit that is ours
        ),
    )


def persistently(action: str, attempt: Callable[[], Result], endpoint: str, timeout_seconds: float) -> Result:
    """Try until it works or the time is over.

    Raises:
        SettingsError: the server refuses, and will go on refusing.
        ObjectMissing: there is no such object.
        EmptyRange: there is nothing behind the position asked for.
        StoreUnavailable: it did not work in this time.
    """
    deadline = time.monotonic() + timeout_seconds
    pause = 0.1
    while True:
        try:
            return attempt()
        except S3Error as error:
            if error.code in _MISSING:
                raise ObjectMissing(action.partition(" ")[2]) from None
            if error.code == "InvalidRange":
                raise EmptyRange from None
            if error.code in _FATAL:
                raise SettingsError(
                    f"the S3 server refuses to {action}: {error.code}: {error.message}"
                ) from error
            last: Exception = error
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise SettingsError(f"the S3 server refuses to {action}: check the keys") from error
        except (urllib3.exceptions.HTTPError, BaseError, ConnectionError, TimeoutError) as error:
            last = error
        if time.monotonic() + pause > deadline:
            raise _unavailable(action, last, endpoint, timeout_seconds) from last
        logger.warning("cannot %s yet (%s); trying again", action, type(last).__name__)
        time.sleep(pause)
        pause = min(pause * 2, 3.0)


def _unavailable(action: str, error: Exception, endpoint: str, timeout_seconds: float) -> StoreUnavailable:
    return StoreUnavailable(
        f"cannot {action} at {shown_address(endpoint)} within {timeout_seconds:.0f} s: {type(error).__name__}"
    )
