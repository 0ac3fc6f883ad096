from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.artifacts import ArtifactRef, ArtifactStore
from infra.errors import ArtifactCorrupt, ArtifactMissing, InvalidKey
from infra.objects import FolderStore

KEY = "ab" * 32
FILES = {"values.bin": b"\x00\x01\x02" * 1000, "deep/index.json": b"{}"}


@pytest.fixture
def objects(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "objects")


@pytest.fixture
def store(objects: FolderStore, tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(objects, tmp_path / "cache")


def test_commit_lookup_fetch_read(store: ArtifactStore, tmp_path: Path) -> None:
    assert store.lookup("features", KEY) is None
    ref = store.commit("features", KEY, FILES, {"clips": 3, "mean": 0.25, "ok": True, "note": None})
    assert store.lookup("features", KEY) == ref
    assert ref.meta == {"clips": 3, "mean": 0.25, "ok": True, "note": None}
    assert type(ref.meta["ok"]) is bool
    store.verify(ref)
    folder = store.fetch(ref)
    assert {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    } == FILES
    assert store.read(ref, "deep/index.json") == b"{}"
    assert ArtifactRef.model_validate_json(ref.model_dump_json()) == ref
    assert len({ref, ref}) == 1


def test_files_from_paths_equal_files_from_bytes(store: ArtifactStore, tmp_path: Path) -> None:
    source = tmp_path / "source.bin"
    source.write_bytes(b"payload")
    first = store.commit("a", KEY, {"x": source})
    second = store.commit("a", "cd" * 32, {"x": b"payload"})
    assert store.manifest(first).files == store.manifest(second).files


def test_second_commit_adopts_the_first(store: ArtifactStore) -> None:
    first = store.commit("fusion", KEY, {"w": b"first"})
    second = store.commit("fusion", KEY, {"w": b"second"})
    assert second == first
    assert store.read(second, "w") == b"first"


def test_concurrent_commits_agree_on_one(objects: FolderStore, tmp_path: Path) -> None:
    refs: list[ArtifactRef] = []
    gate = threading.Barrier(8)

    def work(number: int) -> None:
        mine = ArtifactStore(objects, tmp_path / f"cache{number}")
        gate.wait()
        refs.append(mine.commit("fusion", KEY, {"w": f"writer {number}".encode()}))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refs) == 8
    assert len(set(refs)) == 1


def test_every_changed_byte_of_a_manifest_hides_it_and_a_new_commit_heals(
    store: ArtifactStore, objects: FolderStore
) -> None:
    ref = store.commit("fusion", KEY, {"w": b"weights"}, {"score": 0.83})
    manifest_key = f"manifests/fusion/{KEY}.json"
    intact = objects.get(manifest_key)
    for position in range(len(intact)):
        damaged = bytearray(intact)
        damaged[position] ^= 1
        objects.put(manifest_key, bytes(damaged))
        assert store.lookup("fusion", KEY) is None, position
        with pytest.raises(ArtifactCorrupt):
            store.verify(ref)
    assert store.commit("fusion", KEY, {"w": b"weights"}, {"score": 0.83}) == ref
    store.verify(ref)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [_flip, _cut, Path.unlink])
def test_damaged_blob_is_detected_discarded_and_recomputed(
    store: ArtifactStore, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    ref = store.commit("features", KEY, FILES)
    kept = store.commit("features", "cd" * 32, {"other.json": b"{}"})  # shares the intact blob
    blob = tmp_path / "objects" / "blobs" / (sha := store.manifest(ref).files["values.bin"].sha256)[:2] / sha
    damage(blob)
    for use in (store.verify, store.fetch, lambda r: store.read(r, "values.bin")):
        with pytest.raises((ArtifactCorrupt, ArtifactMissing)):
            use(ref)
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.name == "values.bin"]
    store.discard(ref)
    assert store.lookup("features", KEY) is None
    store.verify(kept)
    assert store.commit("features", KEY, FILES) == ref
    store.verify(ref)


def test_edited_cached_copy_is_fetched_again(store: ArtifactStore) -> None:
    ref = store.commit("features", KEY, FILES)
    folder = store.fetch(ref)
    _flip(folder / "values.bin")
    assert (store.fetch(ref) / "values.bin").read_bytes() == FILES["values.bin"]


def test_half_fetched_files_of_dead_processes_are_swept(objects: FolderStore, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / KEY
    folder.mkdir(parents=True)
    for name, age in (("old.partial", 7200), ("young.partial", 0), ("old.bin", 7200)):
        (folder / name).write_bytes(b"half")
        os.utime(folder / name, (time.time() - age,) * 2)
    ArtifactStore(objects, tmp_path / "cache")
    assert sorted(path.name for path in folder.iterdir()) == ["old.bin", "young.partial"]


def test_missing_manifest(store: ArtifactStore) -> None:
    ref = store.commit("features", KEY, FILES)
    store.discard(ref)
    store.discard(ref)
    with pytest.raises(ArtifactMissing):
        store.fetch(ref)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../b", ".hidden", "", "a//b", "a\\b", "a\nb"])
def test_names_that_could_leave_the_folder_are_refused(store: ArtifactStore, name: str) -> None:
    with pytest.raises(InvalidKey):
        store.commit("features", KEY, {name: b""})
    with pytest.raises(InvalidKey):
        store.commit(name, KEY, {})
    with pytest.raises(InvalidKey):
        store.lookup("features", f"{name}/..")


def test_non_finite_meta_is_refused_and_nothing_visible(store: ArtifactStore) -> None:
    with pytest.raises(ValueError, match="JSON"):
        store.commit("features", KEY, FILES, {"loss": float("nan")})
    assert store.lookup("features", KEY) is None
