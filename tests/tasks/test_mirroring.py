"""Corpora in buckets as tasks see them: shards of objects, and the corpus that an address stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.objects.bucket_address import BucketAddress
from infra.objects.mirror import RemoteObject
from tasks.data import mirroring
from tasks.data.mirroring import MirrorShards, bytes_of
from tasks.data.quality_report import catalogued_corpus
from tasks.stage.workspace import workspace


def objects(*sizes: int) -> list[RemoteObject]:
    return [RemoteObject(f"p/{number}", f"{number}", "e", size, 0.0) for number, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "shards"),
    [
        ([], []),
        ([5], [[5]]),
        ([50, 50, 1], [[50, 50], [1]]),
        ([300, 1], [[300], [1]]),
        ([1, 300, 1], [[1], [300], [1]]),
        ([0, 0, 0, 0, 0], [[0, 0, 0], [0, 0]]),
    ],
)
def test_shards_are_bounded_by_count_and_bytes(
    monkeypatch: pytest.MonkeyPatch, sizes: list[int], shards: list[list[int]]
) -> None:
    monkeypatch.setattr(mirroring, "SHARD_OBJECTS", 3)
    monkeypatch.setattr(mirroring, "SHARD_BYTES", 100)
    found = list(mirroring._shards(objects(*sizes)))
    assert [[item.size for item in shard] for shard in found] == shards
    assert sum(bytes_of(shard) for shard in found) == sum(sizes)


def test_what_was_done_is_one_line() -> None:
    plan = MirrorShards("/c", "s3://data/x", (tuple(objects(1_000_000, 500_000)),), ("gone",), 7, ("p/../x",))
    assert plan.line == (
        "s3://data/x: 9 files, 2 fetched (1.5 MB), 1 removed, 1 keys refused, first 'p/../x'; read from /c"
    )


def test_an_address_stands_for_the_corpus_that_was_read_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    space = workspace()
    root = BucketAddress.parse("s3://data/a/mine", space.settings).mirror(space.settings)
    space.catalogue.upsert_corpus("another-name", root, "table", ("sad",))
    assert catalogued_corpus(space, "s3://data/a/mine?endpoint=http://h:1") == "another-name"
    with pytest.raises(LookupError, match="s3://data/other"):
        catalogued_corpus(space, "s3://data/other")
