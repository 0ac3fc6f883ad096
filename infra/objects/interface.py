"""What an object store can do. Keys are plain relative names like `blobs/3f/3fa9...`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from infra.errors import InvalidKey

CHUNK_BYTES = 1 << 20
"""Bytes read or written at a time."""

MAX_KEY_CHARACTERS = 512

_SEGMENT = re.compile(r"[A-Za-z0-9_=+@-][A-Za-z0-9._=+@-]{0,199}")


def check_key(key: str) -> str:
    """Return `key` unchanged if every segment is a plain name.

    A segment cannot begin with a dot, so `..`, hidden names and the folder store's own staging area are out
    of reach.

    Raises:
        InvalidKey: absolute, empty, too long, `..`, backslash, control or non-ASCII characters.
    """
    if len(key) > MAX_KEY_CHARACTERS or not all(_SEGMENT.fullmatch(segment) for segment in key.split("/")):
        raise InvalidKey(
            f"expected a relative key of segments [A-Za-z0-9._=+@-] that do not begin with a dot, "
            f"at most {MAX_KEY_CHARACTERS} characters, found {key[:80]!r}"
        )
    return key


@dataclass(frozen=True)
class StoredObject:
    """An object as a listing shows it."""

    key: str
    size: int
    """Bytes."""
    modified: float
    """When it was written last, in seconds since the epoch, by the clock of the store."""


class ObjectStore(Protocol):
    """A flat store of immutable-by-convention objects.

    Every method raises `InvalidKey` for a key that is not plain, `StoreUnavailable` (transient) when the
    store does not answer, `StoreFull` when there is no space; reads raise `ObjectMissing`.
    """

    def put(self, key: str, data: bytes | Path, *, if_absent: bool = False) -> bool:
        """Store bytes or a file's content, visible completely or not at all.

        Returns False, with nothing changed, when `if_absent` and the key exists. Among concurrent conditional
        writers exactly one gets True.
        """

    def stream(self, key: str) -> Iterator[bytes]:
        """Content in chunks of at most `CHUNK_BYTES`."""

    def get(self, key: str) -> bytes:
        """Whole content; for small objects."""

    def get_file(self, key: str, path: Path) -> None:
        """Write the content to `path` (its folder exists), without an intermediate state under that name."""

    def exists(self, key: str) -> bool:
        """True if an object is stored under the key."""

    def delete(self, key: str) -> None:
        """Remove the object; a missing one is no error."""

    def listed(self, prefix: str = "") -> Iterator[StoredObject]:
        """Objects whose keys begin with `prefix`, as `keys` lists them."""

    def found(self, key: str) -> StoredObject | None:
        """The object as a listing would show it; None: there is none."""

    def keys(self, prefix: str) -> Iterator[str]:
        """Keys that begin with `prefix`, a folder of keys such as `manifests/` (or empty: all), in no order.

        What is written or deleted meanwhile may be among them or not. A store that was never made has none.
        """
