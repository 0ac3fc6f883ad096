"""The catalogue is locked by somebody else, or its server restarts, in the middle of a commit: done once or not at all."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fault_report import Faults
from invariants import check_invariants, within
from pydantic import SecretStr
from sqlalchemy import event

from infra.artifacts import ArtifactStore
from infra.catalogue import Catalogue, open_catalogue
from infra.errors import CatalogueUnavailable, LeaseLost
from infra.objects import open_store
from infra.services import start, stop_all
from infra.settings import Settings, load_settings

pytestmark = pytest.mark.fault

ROW = "catalogue locked or restarted in mid-commit"
PATIENCE = 2.0
"""Seconds a catalogue is waited for here."""
Act = Callable[[Catalogue], object]


def register(number: int) -> Act:
    def act(catalogue: Catalogue) -> object:
        ref = ArtifactStore(open_store(HOME[0]), HOME[0].cache_folder).commit(
            "model", f"k{number}", {"w": b"%d" % number}
        )
        return catalogue.add_model_version("m", ref, metrics={}, idempotency_key=f"run {number}")

    return act


HOME: list[Settings] = []
"""The home of the running test."""
ACTS: dict[str, Act] = {
    "register": register(3),
    "promote": lambda catalogue: catalogue.set_alias("m", "champion", 2, "better", idempotency_key="run 2"),
    "roll back": lambda catalogue: catalogue.rollback("m", "worse"),
    "lease": lambda catalogue: catalogue.acquire_lease("retrain/m", 0.1).name,
}


def prepare(settings: Settings) -> Settings:
    HOME[:] = [settings]
    with open_catalogue(settings, timeout_seconds=PATIENCE) as catalogue:
        for number in (1, 2):
            register(number)(catalogue)
        for version in (2, 1):
            catalogue.set_alias("m", "champion", version, "better")
    return settings


def state(settings: Settings) -> tuple[int, int, int]:
    with open_catalogue(settings) as catalogue:
        champion = catalogue.champion("m")
        assert champion is not None
        return len(catalogue.model_versions("m")), len(catalogue.promotions("m", None)), champion.version


@pytest.mark.parametrize("name", ACTS)
@pytest.mark.parametrize("heals", [True, False])
def test_a_file_that_another_process_has_locked(
    settings: Settings, name: str, heals: bool, faults: Faults
) -> None:
    faults.row, faults.injected = ROW, 1
    prepare(settings)
    before = state(settings)
    lock = sqlite3.connect(settings.home / "catalogue.db", isolation_level=None, check_same_thread=False)
    lock.execute("BEGIN IMMEDIATE")
    with open_catalogue(settings, timeout_seconds=PATIENCE) as catalogue:
        if heals:
            timer = threading.Timer(PATIENCE / 4, lock.execute, ("ROLLBACK",))
            timer.start()
            with within(PATIENCE):
                ACTS[name](catalogue)
            timer.join()
        else:
            with within(PATIENCE), pytest.raises(CatalogueUnavailable, match="locked") as said:
                ACTS[name](catalogue)
            assert said.value.transient
            lock.execute("ROLLBACK")
            assert state(settings) == before
            ACTS[name](catalogue)  # the same thing again
    lock.close()
    if name in ("register", "promote"):
        with open_catalogue(settings) as catalogue:
            ACTS[name](catalogue)
    assert state(settings) == after(before, name)
    check_invariants(settings, recovered=True)


def after(before: tuple[int, int, int], name: str) -> tuple[int, int, int]:
    versions, promotions, champion = before
    return {
        "register": (versions + 1, promotions, champion),
        "promote": (versions, promotions + 1, 2),
        "roll back": (versions, promotions + 1, 2),
        "lease": before,
    }[name]


@pytest.mark.parametrize("name", ACTS)
def test_a_server_that_restarts_before_the_commit(
    name: str, tmp_path: Path, faults: Faults, own_postgres: Settings
) -> None:
    faults.row, faults.injected = ROW, 1
    url = start("postgres", own_postgres)
    settings = prepare(
        load_settings(
            home=tmp_path / "home", database_url=SecretStr(fresh(url)), catalogue_timeout_seconds=20
        )
    )
    before = state(settings)
    with open_catalogue(settings) as catalogue:
        restarted: list[float] = []

        def restart(_connection: object) -> None:
            if not restarted:
                restarted.append(time.monotonic())
                stop_all(own_postgres)
                start("postgres", own_postgres)

        event.listen(catalogue.database.engine, "commit", restart)
        with within(30), pytest.raises((CatalogueUnavailable, LeaseLost)) as said:
            ACTS[name](catalogue)
        assert said.value.transient
        assert restarted
        assert state(settings) == before  # nothing of it is there
        ACTS[name](catalogue)
        if name in ("register", "promote"):
            ACTS[name](catalogue)
    assert state(settings) == after(before, name)
    check_invariants(settings, recovered=True)


def fresh(server: str) -> str:
    import uuid

    import psycopg

    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return f"{server.rpartition('/')[0]}/{name}"


@pytest.fixture(scope="module")
def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Settings of a server that these tests may restart; on one port, so that its address stays."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="mer-servers-") as folder:
        home = load_settings(home=Path(folder))
        yield home
        stop_all(home)
