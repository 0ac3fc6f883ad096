"""A catalogue belongs to one object store, and the store to it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from catalogue_rows import clip, content

from infra.artifacts import ArtifactRef, ArtifactStore
from infra.catalogue import Catalogue, open_catalogue, open_database
from infra.errors import CatalogueIncomplete, InfraError, StoreMismatch
from infra.objects import ObjectStore, open_store
from infra.objects.layout import IDENTITY, audit_record
from infra.records import RecordingCatalogue
from infra.settings import Settings, load_settings
from infra.store_identity import belong_together, require_unused


class Home:
    """Stores of one home, as a workspace opens them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store: ObjectStore = open_store(settings)
        self.catalogue = RecordingCatalogue(open_database(settings), self.store)
        self.artifacts = ArtifactStore(self.store, settings.cache_folder)

    def pair(self) -> None:
        belong_together(self.catalogue, self.store, self.settings.object_store_url)

    def fill(self) -> ArtifactRef:
        """A corpus with features, a model of two versions, the second one champion."""
        self.catalogue.upsert_corpus("c", "/c", "folder", ("neutral",))
        self.catalogue.upsert_clips("c", [clip(number) for number in range(3)])
        shard = self.artifacts.commit("features", "k", {"index": b"0 1 2"})
        self.catalogue.record_artifact(shard, "features", "1")
        self.catalogue.register_features("f" * 64, shard, [content(number) for number in range(3)])
        snapshot = self.catalogue.snapshot("c", self.catalogue.clips("c")).id
        for number in (1, 2):
            ref = self.artifacts.commit("model", f"m{number}", {"weights": b"%d" % number})
            version = self.catalogue.add_model_version(
                "m", ref, snapshot=snapshot, metrics={"waf": 0.5}, idempotency_key=f"r{number}"
            )
            self.catalogue.set_alias("m", "champion", version, "better")
        return shard


_opened: list[Home] = []


def homes(tmp_path: Path, *names: str, **shared: str) -> list[Home]:
    opened = [Home(load_settings(home=tmp_path / name, **shared)) for name in names]
    _opened.extend(opened)
    return opened


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while _opened:
        _opened.pop().catalogue.close()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'shared.db'}"
    fresh: Callable[[], str] = request.getfixturevalue("fresh_postgres")
    return fresh()


def test_two_homes_on_one_catalogue(tmp_path: Path, shared_url: str) -> None:
    first, second = homes(tmp_path, "a", "b", database_url=shared_url)
    first.pair()
    shard = first.fill()
    with pytest.raises(StoreMismatch, match=r"MER_OBJECT_STORE_URL.*mer adopt") as refused:
        second.pair()
    assert str(tmp_path / "a") in str(refused.value)
    assert str(tmp_path / "b") in str(refused.value)
    first.pair()
    assert first.catalogue.features_of("f" * 64, [content(0)]) == {content(0): shard}


def test_two_catalogues_on_one_store(tmp_path: Path) -> None:
    url = (tmp_path / "objects").as_uri()
    first, second = homes(tmp_path, "a", "b", object_store_url=url)
    second.catalogue.upsert_corpus("other", "/other", "folder", ("neutral",))
    first.pair()
    with pytest.raises(StoreMismatch, match="belongs to another catalogue"):
        second.pair()
    first.pair()


def test_a_home_of_before_there_were_identities_is_adopted(tmp_path: Path) -> None:
    (home,) = homes(tmp_path, "a")
    with Catalogue(open_database(home.settings)) as plain:
        plain.upsert_corpus("c", "/c", "folder", ("neutral",))
        ref = home.artifacts.commit("model", "k", {"w": b"1"})
        plain.add_model_version("m", ref, metrics={}, idempotency_key="r")
        number = plain.set_alias("m", "champion", 1, "first").id
    assert not home.store.exists(IDENTITY)
    home.pair()
    home.pair()
    assert home.store.exists(audit_record(number))


def test_a_killed_adoption_goes_on(tmp_path: Path) -> None:
    (home,) = homes(tmp_path, "a")
    row = home.catalogue.propose_identity("x")
    home.pair()
    assert home.catalogue.store_identity() is not None
    assert row.identity.encode() in home.store.get(IDENTITY)


def test_a_moved_home_keeps_its_identity(tmp_path: Path) -> None:
    (home,) = homes(tmp_path, "a")
    home.pair()
    home.fill()
    home.catalogue.close()
    shutil.move(tmp_path / "a", tmp_path / "moved")
    (moved,) = homes(tmp_path, "moved")
    moved.pair()
    assert len(moved.catalogue.model_versions()) == 2


@pytest.mark.slow
def test_of_many_that_open_at_once_all_agree(tmp_path: Path, shared_url: str) -> None:
    url = (tmp_path / "objects").as_uri()
    homes(tmp_path, "0", database_url=shared_url, object_store_url=url)
    outcomes = at_once(homes(tmp_path, *"abcdef", database_url=shared_url, object_store_url=url))
    assert outcomes == [None] * 6


@pytest.mark.slow
def test_of_two_catalogues_that_want_one_store_one_gets_it(tmp_path: Path) -> None:
    for number in range(2):
        url = (tmp_path / str(number) / "objects").as_uri()
        outcomes = at_once(homes(tmp_path / str(number), *"abcd", object_store_url=url))
        assert sorted(outcome is None for outcome in outcomes) == [False, False, False, True]


def at_once(opened: list[Home]) -> list[InfraError | None]:
    gate = threading.Barrier(len(opened))
    outcomes: list[InfraError | None] = []

    def pair(home: Home) -> None:
        gate.wait()
        try:
            home.pair()
        except InfraError as error:
            outcomes.append(error)
        else:
            outcomes.append(None)

    threads = [threading.Thread(target=pair, args=(home,)) for home in opened]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


@pytest.mark.parametrize("paired", [True, False])
def test_an_empty_catalogue_beside_a_full_store(tmp_path: Path, paired: bool) -> None:
    (home,) = homes(tmp_path, "a")
    if paired:
        home.pair()
    home.fill()
    home.catalogue.close()
    for name in ("catalogue.db", "catalogue.db-wal", "catalogue.db-shm"):
        (tmp_path / "a" / name).unlink(missing_ok=True)
    with pytest.raises(CatalogueIncomplete, match=r"is gone.*mer restore.*mer rebuild"):
        require_unused(home.settings)
    (tmp_path / "a" / "catalogue.db").write_bytes(b"")
    (lost,) = homes(tmp_path, "a")
    for _ in range(2):
        with pytest.raises(CatalogueIncomplete, match=r"is empty.*mer restore.*mer rebuild"):
            lost.pair()


def test_a_catalogue_that_lost_its_last_transactions(tmp_path: Path) -> None:
    """As with a `-wal` file that was deleted, or a file from last week's backup of the disk."""
    (home,) = homes(tmp_path, "a")
    home.pair()
    home.fill()
    home.catalogue.close()
    old = (tmp_path / "a" / "catalogue.db").read_bytes()
    with open_catalogue(home.settings) as _:
        (again,) = homes(tmp_path, "a")
        again.catalogue.rollback("m", "worse")
        again.catalogue.close()
    for name in ("catalogue.db-wal", "catalogue.db-shm"):
        (tmp_path / "a" / name).unlink(missing_ok=True)
    (tmp_path / "a" / "catalogue.db").write_bytes(old)
    (lost,) = homes(tmp_path, "a")
    with pytest.raises(
        CatalogueIncomplete, match=r"0 model versions, 1 promotions and 0 reviews more.*mer rebuild"
    ):
        lost.pair()


def test_a_damaged_identity_is_no_traceback(tmp_path: Path) -> None:
    (home,) = homes(tmp_path, "a")
    home.pair()
    home.store.put(IDENTITY, b"\x00\xff")
    with pytest.raises(StoreMismatch, match="mer adopt"):
        home.pair()
