"""A corpus in a bucket, read through a local copy that is brought up to date first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prefect import task

from infra.objects.bucket_address import BucketAddress
from infra.objects.mirror import RemoteObject  # at run time too: workers read the types that tasks declare
from infra.settings import load_settings
from tasks.data.spans import spans_of

if TYPE_CHECKING:
    from infra.objects.mirror import BucketMirror

SHARD_OBJECTS, SHARD_BYTES = 512, 256 << 20
"""Most objects, and bytes beyond which no further object is added, that one task fetches; of more than 5,000 objects several of
these (`tasks.data.spans`).
"""


@dataclass(frozen=True)
class MirrorShards:
    """What is to be done to bring a copy up to date."""

    root: str
    """Folder of the copy."""
    shown: str
    """The address for people."""
    shards: tuple[tuple[RemoteObject, ...], ...]
    """New and changed objects."""
    gone: tuple[str, ...]
    unchanged: int
    refused: tuple[str, ...]
    """Keys that cannot be files here."""

    @property
    def bytes(self) -> int:
        """Bytes to fetch."""
        return sum(bytes_of(shard) for shard in self.shards)

    @property
    def line(self) -> str:
        """What was done, once it is."""
        fetched = sum(map(len, self.shards))
        counts = f"{fetched + self.unchanged} files, {fetched} fetched ({self.bytes / 1e6:.1f} MB)"
        removed = f", {len(self.gone)} removed" if self.gone else ""
        first = f", {len(self.refused)} keys refused, first {self.refused[0]!r}" if self.refused else ""
        return f"{self.shown}: {counts}{removed}{first}; read from {self.root}"


@task(name="mirror corpus")
def plan_mirror(address: str) -> MirrorShards:
    """List a corpus in a bucket and compare it with its local copy.

    Raises:
        SettingsError: the address, the bucket or the keys cannot be used, or nothing lies there.
        StoreUnavailable: the server does not answer.
    """
    mirror = _mirror(address)
    plan = mirror.plan()
    return MirrorShards(
        root=str(mirror.root),
        shown=mirror.address.shown,
        shards=tuple(spans_of(tuple(_shards(plan.fetch)), len(plan.fetch) + plan.unchanged)),
        gone=plan.gone,
        unchanged=plan.unchanged,
        refused=plan.refused,
    )


@task(name="fetch objects")
def fetch_objects(address: str, objects: Sequence[RemoteObject]) -> int:
    """Fetch these objects into the local copy; returns the bytes. A killed task's finished objects are kept."""
    return _mirror(address).fetch(objects)


@task(name="remove gone objects")
def remove_gone(address: str, paths: Sequence[str]) -> None:
    """Remove files of the local copy whose objects are gone."""
    if paths:
        _mirror(address).remove(paths)


def bytes_of(objects: Sequence[RemoteObject]) -> int:
    """Bytes of all these objects."""
    return sum(item.size for item in objects)


def _mirror(address: str) -> BucketMirror:
    from infra.objects.mirror import BucketMirror

    settings = load_settings()
    return BucketMirror(BucketAddress.parse(address, settings), settings)


def _shards(objects: Sequence[RemoteObject]) -> Iterator[tuple[RemoteObject, ...]]:
    shard: list[RemoteObject] = []
    for item in objects:
        if shard and (len(shard) == SHARD_OBJECTS or bytes_of(shard) + item.size > SHARD_BYTES):
            yield tuple(shard)
            shard = []
        shard.append(item)
    if shard:
        yield tuple(shard)
