from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.errors import InvalidKey, ObjectMissing, SettingsError, StoreFull
from infra.objects import ObjectStore, check_key, open_store
from infra.objects.folder import FolderStore
from infra.settings import Settings


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    name = "settings" if request.param == "folder" else "s3_settings"
    return open_store(request.getfixturevalue(name))


def test_put_get_exists_delete(store: ObjectStore, tmp_path: Path) -> None:
    assert not store.exists("a/b.bin")
    assert store.put("a/b.bin", b"first")
    assert store.put("a/b.bin", b"second")
    assert store.get("a/b.bin") == b"second"
    source = tmp_path / "source"
    source.write_bytes(b"x" * 3_000_000)
    assert store.put("a/c.bin", source)
    store.get_file("a/c.bin", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == source.read_bytes()
    assert store.exists("a/c.bin")
    store.delete("a/c.bin")
    store.delete("a/c.bin")
    assert not store.exists("a/c.bin")
    with pytest.raises(ObjectMissing):
        store.get("a/c.bin")
    with pytest.raises(ObjectMissing):
        store.get_file("a/c.bin", tmp_path / "never")
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["source", "target"]


def test_a_listing_says_how_large_an_object_is_and_when_it_was_written(store: ObjectStore) -> None:
    began = time.time()
    store.put("blobs/aa/one", b"12345")
    store.put("blobs/bb/two", b"1234567")
    listed = {item.key: item for item in store.listed("blobs/")}
    assert {key: item.size for key, item in listed.items()} == {"blobs/aa/one": 5, "blobs/bb/two": 7}
    one = store.found("blobs/aa/one")
    assert one == listed["blobs/aa/one"]
    assert began - 2 <= one.modified <= time.time() + 2
    assert store.found("blobs/aa/three") is None
    time.sleep(1.1)  # servers tell whole seconds
    store.put("blobs/aa/one", b"12345")
    again = store.found("blobs/aa/one")
    assert again is not None
    assert again.modified > one.modified, (
        "an equal content that is written again is new: a commit relies on it"
    )


def test_keys_below_a_folder_of_keys(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.objects.s3._PAGE", 2)
    written = {f"records/audit/{number:04d}.json" for number in range(5)}
    for key in (*written, "records/models/a.json", "identity.json"):
        store.put(key, b"x")
    assert sorted(store.keys("records/audit/")) == sorted(written)
    assert set(store.keys("")) >= written | {"records/models/a.json", "identity.json"}
    assert not list(store.keys("records/none/"))


def test_empty_object(store: ObjectStore) -> None:
    store.put("empty", b"")
    assert store.get("empty") == b""
    assert store.exists("empty")


def test_large_file_in_parts(store: ObjectStore, tmp_path: Path) -> None:
    source = tmp_path / "large"
    source.write_bytes(bytes(range(256)) * (50_000))
    store.put("large", source)
    assert store.get("large") == source.read_bytes()


def test_put_if_absent_keeps_the_first(store: ObjectStore) -> None:
    assert store.put("k", b"first", if_absent=True) is True
    assert store.put("k", b"second", if_absent=True) is False
    assert store.get("k") == b"first"


def test_of_concurrent_creators_exactly_one_wins(store: ObjectStore) -> None:
    for round_number in range(5):
        won: list[int] = []
        gate = threading.Barrier(8)

        def create(
            number: int,
            key: str = f"race/{round_number}",
            won: list[int] = won,
            gate: threading.Barrier = gate,
        ) -> None:
            gate.wait()
            if store.put(key, f"writer {number}".encode(), if_absent=True):
                won.append(number)

        threads = [threading.Thread(target=create, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert store.get(f"race/{round_number}") == f"writer {won[0]}".encode()


@pytest.mark.parametrize(
    "key", ["../x", "a/../../x", "/x", "", "a//b", "a/", ".staging/x", "a\\b", "a\x00", "ü", "a" * 600]
)
def test_keys_that_are_not_plain_are_refused(store: ObjectStore, key: str) -> None:
    with pytest.raises(InvalidKey):
        check_key(key)
    for use in (store.get, store.exists, store.delete, lambda k: store.put(k, b"")):
        with pytest.raises(InvalidKey):
            use(key)


def test_an_object_cannot_be_a_folder_too(settings: Settings) -> None:
    store = open_store(settings)
    store.put("a", b"x")
    for if_absent in (False, True):
        with pytest.raises(InvalidKey):
            store.put("a/b", b"x", if_absent=if_absent)
    store.put("c/d", b"x")
    for if_absent in (False, True):
        with pytest.raises(InvalidKey):
            store.put("c", b"x", if_absent=if_absent)
    assert (store.get("a"), store.get("c/d")) == (b"x", b"x")


def test_no_staging_file_is_left_and_those_of_dead_writers_are_swept(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.put("a", b"x")
    store.put("a", b"x", if_absent=True)
    staging = tmp_path / ".staging"
    assert list(staging.iterdir()) == []
    (staging / "dead").write_bytes(b"half")
    assert store.sweep_staging() == 0
    assert store.sweep_staging(older_than_seconds=-1) == 1
    assert store.get("a") == b"x"
    assert list(staging.iterdir()) == []


@pytest.fixture
def full_folder(tmp_path: Path) -> Iterator[Path]:
    device = Path("/dev/full")
    if not device.exists():
        pytest.skip("this system has no /dev/full")
    yield device


def test_disk_full_names_path_and_bytes(
    full_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FolderStore(tmp_path)
    real_open = Path.open

    def open_full(path: Path, mode: str = "r", **options: object) -> object:
        return real_open(full_folder, "wb") if mode == "xb" else real_open(path, mode, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", open_full)  # the kernel refuses the write, as on a full disk
    with pytest.raises(StoreFull) as caught:
        store.put("a/b", b"x" * 100)
    assert caught.value.bytes_requested == 100
    assert str(tmp_path / "a" / "b") in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://x/y", "objects", "file://host/x", "s3://"])
def test_unknown_addresses(settings: Settings, url: str) -> None:
    with pytest.raises(SettingsError):
        open_store(settings.model_copy(update={"object_store_url": url}))
