"""Where a folder in a bucket is: `s3://BUCKET[/PREFIX][?endpoint=http://HOST:PORT&region=NAME]`, and where its copy lies here."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs

from infra.errors import HomeUnusable, SettingsError
from infra.locking import locked
from infra.settings import Settings
from infra.shown_address import shown_address
from infra.whole_files import write_whole

SCHEME = "s3://"
CORPORA_FOLDER = "corpora"
"""Folder of the cache that the copies lie in."""
STATE_FOLDER = ".state"
"""Folder beside the copies: journals, owners, locks, and files on their way. No bucket is called so."""

_KEYS = "MER_S3_ACCESS_KEY and MER_S3_SECRET_KEY hold keys"
_AWS = "https://s3.amazonaws.com"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
_ENDPOINT = re.compile(r"https?://[^/?#\s]+")


def is_bucket_address(text: str) -> bool:
    """Whether a corpus, or a path of clips, is given as a folder in a bucket."""
    return text.startswith(SCHEME)


def check_no_secret(text: str) -> str:
    """The path or address, which is stored with the runs that read it, and so may hold no password or key.

    Raises:
        ValueError: it holds one.
    """
    if is_bucket_address(text) and shown_address(text) != text:
        raise ValueError(
            f"expected an address without user, password or key, found {shown_address(text)!r}; {_KEYS}"
        )
    return text


def folder_name(text: str) -> str:
    """What a folder in a bucket would be called on a disk: the last component of its prefix, else the bucket."""
    return text.removeprefix(SCHEME).partition("?")[0].strip("/").rpartition("/")[2]


@dataclass(frozen=True)
class BucketAddress:
    """A folder in a bucket."""

    bucket: str
    prefix: str
    """Without `/` at its ends; empty: the whole bucket."""
    endpoint: str
    region: str

    @property
    def shown(self) -> str:
        """The address for people."""
        return f"{SCHEME}{self.bucket}/{self.prefix}".rstrip("/")

    @classmethod
    def parse(cls, text: str, settings: Settings) -> BucketAddress:
        """Read an address; what it does not say of the server, the settings say.

        Raises:
            SettingsError: no bucket, a component of the prefix that is no plain name, or an unusable endpoint.
        """
        place, _, more = text.removeprefix(SCHEME).partition("?")
        bucket, _, prefix = place.partition("/")
        prefix = prefix.strip("/")
        query = parse_qs(more)
        default_endpoint, default_region = _server_of(settings)
        endpoint = query.get("endpoint", [default_endpoint])[0].rstrip("/")
        if not text.startswith(SCHEME) or not _BUCKET.fullmatch(bucket) or ".." in bucket:
            raise SettingsError(
                f"expected s3://BUCKET/PREFIX[?endpoint=http://HOST:PORT], found {shown_address(text)!r}"
            )
        if prefix and not all(is_plain(part) for part in prefix.split("/")):
            raise SettingsError(
                f"{shown_address(text)!r}: expected a prefix of plain names between single slashes (no `..`), found {prefix!r}"
            )
        if not _ENDPOINT.fullmatch(endpoint):
            raise SettingsError(
                f"{shown_address(text)!r}: expected ?endpoint=http://HOST:PORT, found {shown_address(endpoint)!r}"
            )
        if shown_address(text) != text:
            raise SettingsError(
                f"expected an address without user, password or key, found {shown_address(text)!r}; {_KEYS}"
            )
        return cls(bucket, prefix, endpoint, query.get("region", [default_region])[0])

    def mirror(self, settings: Settings) -> Path:
        """Folder of the local copy: below the bucket's name, or, where another server has this bucket's copy, below the name
        with a hash of the endpoint.
        """
        return settings.cache_folder / CORPORA_FOLDER / self.copy_name(settings) / self.prefix

    def copy_name(self, settings: Settings) -> str:
        """Name of the folder that copies out of this bucket of this server lie in."""
        owner = self.owner(settings)
        if owner in (None, self.endpoint):
            return self.bucket
        return f"{self.bucket}@{hashlib.sha256(self.endpoint.encode()).hexdigest()[:8]}"  # no bucket is called so

    def owner(self, settings: Settings) -> str | None:
        """Endpoint of the server whose copy has the bucket's plain name; None: nobody's is known."""
        try:
            return self._owner_file(settings).read_text(encoding="utf-8") or None
        except FileNotFoundError:
            return None

    def own(self, settings: Settings) -> None:
        """Make this server the one whose copy has the bucket's plain name."""
        write_whole(self._owner_file(settings), self.endpoint.encode())

    @contextmanager
    def alone(self, settings: Settings) -> Iterator[None]:
        """Wait until nobody else brings copies out of this bucket up to date, and keep others from it for the block.

        Raises:
            HomeUnusable: the file system has no locks, or cannot be written.
        """
        file = self._owner_file(settings).with_name(f"{self.bucket}.lock")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HomeUnusable(f"cannot make the folder {file.parent}: {error.strerror}") from error
        with locked(file):
            yield

    def _owner_file(self, settings: Settings) -> Path:
        return settings.cache_folder / CORPORA_FOLDER / STATE_FOLDER / f"{self.bucket}.endpoint"


def is_plain(part: str) -> bool:
    """Whether a component of an object's key can be the name of a file or folder here and leads nowhere else."""
    return (
        part not in ("", ".", "..")
        and len(part.encode("utf-8", "surrogatepass")) <= 255
        and "\\" not in part
        and all(ord(character) >= 32 and character != "\x7f" for character in part)
    )


def _server_of(settings: Settings) -> tuple[str, str]:
    """Endpoint and region where an address names none."""
    store = settings.object_store_url
    query = parse_qs(store.partition("?")[2]) if store.startswith(SCHEME) else {}
    endpoint = settings.s3_endpoint or query.get("endpoint", [_AWS])[0]
    return endpoint, query.get("region", ["us-east-1"])[0]
