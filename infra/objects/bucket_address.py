"""Where a folder in a bucket is: `s3://BUCKET[/PREFIX][?endpoint=http://HOST:PORT&region=NAME]`, and where its copy lies here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs

from infra.errors import SettingsError
from infra.settings import Settings
from infra.shown_address import shown_address

SCHEME = "s3://"
CORPORA_FOLDER = "corpora"
"""Folder of the cache that the copies lie in."""

_AWS = "https://s3.amazonaws.com"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
_ENDPOINT = re.compile(r"https?://[^/?#\s]+")


def is_bucket_address(text: str) -> bool:
    """Whether a corpus, or a path of clips, is given as a folder in a bucket."""
    return text.startswith(SCHEME)


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
        return cls(bucket, prefix, endpoint, query.get("region", [default_region])[0])

    def mirror(self, settings: Settings) -> Path:
        """Folder of the local copy; the same for every server, so that clips stay where they are when a server moves."""
        return settings.cache_folder / CORPORA_FOLDER / self.bucket / self.prefix


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
