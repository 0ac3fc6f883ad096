"""A version whose files are gone or damaged never becomes champion by hand, and says so where it is asked to answer."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from infra.errors import ArtifactMissing, CatalogueError
from tasks.serve.by_hand import promote_by_hand, roll_back
from tasks.serve.complete_versions import fetch_package
from tasks.serve.library import registered_version
from tasks.stage.workspace import Workspace, workspace


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Three versions, each champion after the one before; nothing listens where MLflow should."""
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MER_MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    made = workspace()
    for number in (1, 2, 3):
        ref = made.artifacts.commit("model", f"m{number}", {"weights": b"weights %d" % number})
        report = made.artifacts.commit("evaluation", f"e{number}", {"report.json": b"report %d" % number})
        version = made.catalogue.add_model_version(
            "m", ref, evaluation=report, metrics={"waf": 0.5}, idempotency_key=str(number)
        )
        made.catalogue.set_alias("m", "champion", version, "better")
    return made


def spoil(space: Workspace, version: int, *, file: str = "weights", flip: bool = False) -> None:
    row = space.catalogue.model_version("m", version)
    ref = row.artifact if file == "weights" else row.evaluation
    assert ref is not None
    sha256 = space.artifacts.manifest(ref).files[file].sha256
    blob = space.settings.home / "objects" / "blobs" / sha256[:2] / sha256
    if flip:
        data = blob.read_bytes()
        blob.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    else:
        blob.unlink()


def champion(space: Workspace) -> int:
    row = space.catalogue.champion("m")
    assert row is not None
    return row.version


@pytest.mark.parametrize(("file", "flip"), [("weights", False), ("weights", True), ("report.json", False)])
def test_a_rollback_to_an_incomplete_version(space: Workspace, file: str, flip: bool) -> None:
    spoil(space, 2, file=file, flip=flip)
    audit = space.catalogue.promotions("m")
    with pytest.raises(CatalogueError) as refused:
        roll_back("m")
    message = str(refused.value)
    assert "version 2 cannot be served" in message
    assert file in message
    assert "version 1 is complete (`mer models m --promote 1`" in message
    assert (champion(space), space.catalogue.promotions("m")) == (3, audit)


def test_a_promotion_by_hand_of_an_incomplete_version(space: Workspace) -> None:
    spoil(space, 1)
    with pytest.raises(CatalogueError, match=r"version 1 cannot be served.*version 2 is complete"):
        promote_by_hand("m", 1)
    assert champion(space) == 3
    promote_by_hand("m", 2)
    assert champion(space) == 2


def test_no_version_is_complete(space: Workspace) -> None:
    for version in (1, 2, 3):
        spoil(space, version)
    with pytest.raises(CatalogueError, match="no other version of m is complete: the run that trained it"):
        roll_back("m")


def test_a_version_that_was_given_up_is_not_recommended(space: Workspace) -> None:
    """Its files may still be there; it cannot be promoted all the same."""
    with space.catalogue.database.writing() as connection:
        connection.exec_driver_sql("UPDATE model_versions SET retired_at = created_at WHERE version = 1")
    spoil(space, 2)
    with pytest.raises(CatalogueError, match="no other version of m is complete"):
        roll_back("m")


def test_an_incomplete_champion_answers_with_one_line(space: Workspace) -> None:
    spoil(space, 3)
    row = space.catalogue.champion("m")
    assert row is not None
    for ask in (lambda: fetch_package(space, row), lambda: registered_version("m")):
        with pytest.raises(
            ArtifactMissing, match=r"m version 3 cannot answer: .*version 2 is complete"
        ) as said:
            ask()
        assert "\n" not in str(said.value)


def test_ten_rollbacks_with_mlflow_stopped(space: Workspace) -> None:
    for _ in range(10):
        before = champion(space)
        started = time.monotonic()
        roll_back("m")
        assert time.monotonic() - started < 5
        assert champion(space) == before - 1
        space.catalogue.set_alias("m", "champion", before, "again")
    assert len(space.catalogue.promotions("m")) == 3 + 20


def test_somebody_else_was_faster(space: Workspace) -> None:
    target = space.catalogue.rollback_version("m")
    space.catalogue.rollback("m", "somebody else's")
    with pytest.raises(CatalogueError, match="moved by somebody else"):
        space.catalogue.rollback("m", "mine", expected=target)
    assert champion(space) == 2
