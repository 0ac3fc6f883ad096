"""The checker itself: each invariant is broken on purpose, and the checker must see it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fault_report import Faults, report_lines
from invariants import check_invariants, served_weights, stored_keys, within
from sqlalchemy import text

from infra.artifacts import ArtifactStore
from infra.catalogue import open_catalogue
from infra.objects import open_store
from infra.settings import Settings

pytestmark = pytest.mark.fault


@pytest.fixture
def home(settings: Settings) -> Settings:
    """A home with two versions of a model, the second one champion after the first."""
    store = ArtifactStore(open_store(settings), settings.cache_folder)
    with open_catalogue(settings) as catalogue:
        for number in (1, 2):
            ref = store.commit("fusion", f"key{number}", {"weights": f"weights {number}".encode()})
            version = catalogue.add_model_version("m", ref, metrics={}, idempotency_key=f"run {number}")
            catalogue.set_alias("m", "champion", version, "better")
    return settings


def _blob(settings: Settings) -> Path:
    root = Path(settings.object_store_url.removeprefix("file://"))
    return root / stored_keys(settings, "blobs")[0]


def _flip(settings: Settings) -> None:
    path = _blob(settings)
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])


def _remove(settings: Settings) -> None:
    _blob(settings).unlink()


def _move_alias(settings: Settings) -> None:
    _execute(settings, "UPDATE model_aliases SET version = 1 WHERE alias = 'champion'")


def _forget_audit(settings: Settings) -> None:
    _execute(settings, "DELETE FROM promotions WHERE version = 1")


def _double_version(settings: Settings) -> None:
    _execute(
        settings,
        "INSERT INTO model_versions (name, version, artifact, evaluation, snapshot_id, metrics, idempotency_key, created_at) "
        "SELECT name, 3, artifact, evaluation, snapshot_id, metrics, 'again', created_at "
        "FROM model_versions WHERE version = 2",
    )


def _leave_partial(settings: Settings) -> None:
    (settings.home / "x.partial").write_bytes(b"")


def _leave_secret(settings: Settings) -> None:
    (settings.home / "log").write_text("password canary%2F1", encoding="utf-8")


def _execute(settings: Settings, statement: str) -> None:
    with open_catalogue(settings) as catalogue, catalogue.database.writing() as connection:
        connection.execute(text(statement))


def test_a_sound_home_passes(home: Settings, faults: Faults) -> None:
    check_invariants(home, recovered=True, canaries=["canary/1"])
    assert served_weights(home) == served_weights(home, "m")
    assert faults.injected == 0


@pytest.mark.parametrize(
    ("invariant", "damage"),
    [
        ("I1", _flip),
        ("I1", _remove),
        ("I2", _move_alias),
        ("I2", _forget_audit),
        ("I4", _double_version),
        ("I6", _leave_partial),
        ("I8", _leave_secret),
    ],
)
def test_each_violation_is_seen(
    invariant: str, damage: Callable[[Settings], None], home: Settings, faults: Faults
) -> None:
    faults.row, faults.injected = "the checker itself", 1
    damage(home)
    with pytest.raises(AssertionError, match=f"{invariant}: "):
        check_invariants(home, recovered=True, canaries=["canary/1"])


def test_a_hang_is_seen() -> None:
    with pytest.raises(AssertionError, match="I9"), within(0.0):
        pass


def test_the_report_adds_up() -> None:
    first, second = Faults("kills", 3), Faults("kills", 2)
    first.held.update(["I1", "I2"])
    second.held.update(["I1"])
    lines = report_lines([(first.to_text(), "passed", 1.0), (second.to_text(), "failed", 2.0)])
    assert lines[1].split() == ["kills", "2", "1", "5", "3.0", "I1:2", "I2:1"]
    assert lines[-1].split()[:5] == ["all", "2", "1", "5", "3.0"]
