"""A catalogue that is lost comes back: from a backup, or from the object store; and a store that was copied is adopted."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from catalogued import catalogue_clips

from infra.catalogue import open_catalogue
from infra.catalogue.backing_up import back_up
from infra.catalogue.backups import backups_in
from infra.errors import (
    BackupUnusable,
    CatalogueDamaged,
    CatalogueError,
    CatalogueIncomplete,
    InfraError,
    StoreMismatch,
)
from infra.objects import open_store
from infra.objects.layout import IDENTITY, SHARD_RECORDS, SNAPSHOT_RECORDS
from infra.settings import Settings
from mer.features.clip_feature import ClipFeature
from tasks.data.features import missing_contents
from tasks.data.shard_commit import commit_shard
from tasks.stage import workspace as opened
from tasks.stage.adoption import adopt_store, rebuild_home
from tasks.stage.backup import OBJECTS, back_up_home, restore_home
from tasks.stage.workspace import Workspace, existing_workspace, workspace

FEATURE = "f" * 64
CONTENTS = tuple(f"{number:064x}" for number in range(4))


POSTGRES = pytest.param("postgres", marks=pytest.mark.slow)
HOW = [("sqlite", how) for how in ("gone", "empty", "random", "folder")]


@pytest.fixture
def space(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A home with a corpus, its features in two shards, three versions of a model, and a generation of pseudo-labels."""
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    if getattr(request, "param", "sqlite") == "postgres":
        fresh: Callable[[], str] = request.getfixturevalue("fresh_postgres")
        monkeypatch.setenv("MER_DATABASE_URL", fresh())
    return filled(workspace())


def filled(space: Workspace) -> Workspace:
    catalogue_clips(space, "c", ("a", "b", "x", "y"), CONTENTS)
    for half in (CONTENTS[:2], CONTENTS[2:]):
        commit_shard(
            space, FEATURE, half, lambda: [ClipFeature(np.ones((1, 3), np.float32), True, ())] * 2, "code"
        )
    snapshot = space.catalogue.snapshot("c", space.catalogue.clips("c")).id
    for number in (1, 2, 3):
        ref = space.artifacts.commit("model", f"m{number}", {"weights": b"%d" % number})
        report = space.artifacts.commit("evaluation", f"e{number}", {"report.json": b"%d" % number})
        version = space.catalogue.add_model_version(
            "m: a name/of any kind",
            ref,
            evaluation=report,
            snapshot=snapshot,
            metrics={"waf": 0.5 + number},
            idempotency_key=f"r{number}",
            origin={"commit": f"c{number}"},
        )
        space.catalogue.set_alias(
            "m: a name/of any kind", "champion", version, f"better {number}", evidence="{}"
        )
    space.catalogue.rollback("m: a name/of any kind", "worse in the field")
    space.catalogue.request_approval("m: a name/of any kind", 1, "passed again", "{}", 24.0)
    space.catalogue.refuse("m: a name/of any kind", 1, "no")
    space.catalogue.request_approval("m: a name/of any kind", 3, "passed again", "{}", 24.0)
    return space


def models(space: Workspace) -> object:
    name = "m: a name/of any kind"
    return (
        space.catalogue.model_versions(), space.catalogue.promotions(name, None), space.catalogue.champion(name),
        [space.catalogue.snapshot_members(str(row.snapshot_id)) for row in space.catalogue.model_versions()],
        space.catalogue.generations(), space.catalogue.aliases(), space.catalogue.approvals_waiting(),
    )  # fmt: skip


def reopened() -> Workspace:
    """As another process opens it."""
    for space in list(opened._open.values()):
        space.catalogue.close()
    opened._open.clear()
    return workspace()


def lose(settings: Settings, how: str) -> None:
    """The catalogue is gone, empty or damaged."""
    for space in list(opened._open.values()):
        space.catalogue.close()
    opened._open.clear()
    url = settings.database_url.get_secret_value()
    if url.startswith("postgresql"):
        with open_catalogue(settings) as catalogue, catalogue.database.writing() as connection:
            connection.exec_driver_sql("DROP SCHEMA public CASCADE")
            connection.exec_driver_sql("CREATE SCHEMA public")
        return
    file = settings.home / "catalogue.db"
    for suffix in ("", "-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    if how == "empty":
        file.write_bytes(b"")
    elif how == "random":
        file.write_bytes(bytes(range(256)) * 100)
    elif how == "folder":
        file.mkdir()


@pytest.mark.parametrize(
    ("space", "how"),
    [*HOW, pytest.param("postgres", "gone", marks=pytest.mark.slow)],
    indirect=["space"],
)
def test_it_is_made_anew_from_the_store(space: Workspace, how: str) -> None:
    before, settings = models(space), space.settings
    token = space.catalogue.acquire_lease("retrain/m").token
    lose(settings, how)
    with pytest.raises((CatalogueIncomplete, CatalogueDamaged), match="mer rebuild"):
        existing_workspace()
    done = rebuild_home(settings)
    again = reopened()
    assert models(again) == before
    assert missing_contents(again, FEATURE, CONTENTS) == []  # nothing is extracted again
    assert again.catalogue.acquire_lease("retrain/m").token > token + 1000
    assert (done.set_aside is not None) == (
        how in ("random", "folder")
    ) or space.catalogue.database.is_postgres
    assert any("mer ingest --corpus /c --name c" in line for line in done.rebuilt.losses)
    audit = again.catalogue.rollback("m: a name/of any kind", "the audit goes on counting")
    assert audit.id == 8
    catalogue_clips(again, "c", ("a", "b", "x", "y"), CONTENTS)
    assert len(again.catalogue.clips("c")) == 4
    assert rebuild_home(settings).rebuilt.counts.get("model versions", 0) == 0  # again: nothing to do


@pytest.mark.parametrize("space", ["sqlite", POSTGRES], indirect=True)
def test_the_newest_whole_backup_is_put_back(space: Workspace) -> None:
    settings = space.settings
    before = models(space)
    back_up_home(settings, None, with_objects=False)
    back_up_home(settings, None, with_objects=False)
    newest = backups_in(settings.backup_folder)[-1].path
    newest.write_bytes(newest.read_bytes()[:-40])
    lose(settings, "random")
    done = restore_home(settings, None, anyway=False)
    assert done.path == backups_in(settings.backup_folder)[0].path
    assert str(newest) in done.skipped[0]
    assert done.remark == ""
    again = reopened()
    assert models(again) == before
    assert len(again.catalogue.clips("c")) == 4


def test_an_old_backup_says_what_it_lacks_and_is_completed(space: Workspace) -> None:
    settings = space.settings
    back_up_home(settings, None, with_objects=False)
    space.catalogue.rollback("m: a name/of any kind", "later than the backup")
    before = models(space)
    with pytest.raises(CatalogueError, match="mer restore --anyway"):
        restore_home(settings, None, anyway=False)
    done = restore_home(settings, None, anyway=True)
    assert "1 promotions and 0 reviews more" in done.remark
    assert done.before is not None
    with pytest.raises(CatalogueIncomplete, match="mer rebuild"):
        reopened()
    rebuild_home(settings)
    assert models(reopened()) == before


def test_an_empty_catalogue_beside_a_full_store_is_no_backup(space: Workspace) -> None:
    """It would be the newest one, which `mer restore` puts back."""
    settings = space.settings
    whole = back_up_home(settings, None, with_objects=False).path
    lose(settings, "empty")
    for _ in range(2):
        with pytest.raises(CatalogueIncomplete, match=r"is empty, and the object store .* `mer restore`"):
            back_up_home(settings, None, with_objects=False)
    assert [backup.path for backup in backups_in(settings.backup_folder)] == [whole]
    assert restore_home(settings, None, anyway=False).path == whole


def test_no_backup_to_put_back(space: Workspace) -> None:
    with pytest.raises(BackupUnusable, match="mer rebuild"):
        restore_home(space.settings, None, anyway=True)


def test_a_backup_with_objects_is_a_whole_home(space: Workspace, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = back_up_home(space.settings, out, with_objects=True)
    assert done.missing == ()
    assert back_up_home(space.settings, out, with_objects=True).objects is not None  # again, beside the first
    other = space.settings.model_copy(
        update={"home": tmp_path / "other", "object_store_url": (out / OBJECTS).as_uri()}
    )
    if not space.catalogue.database.is_postgres:
        other = other.model_copy(
            update={"database_url": type(other.database_url)(f"sqlite:///{tmp_path / 'other.db'}")}
        )
    report = restore_home(other, done.path, anyway=True)
    assert report.remark == ""


def test_a_store_that_was_copied_without_its_identity(
    space: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(space.settings.home / "objects", tmp_path / "copy")
    (tmp_path / "copy" / IDENTITY).unlink()
    monkeypatch.setenv("MER_OBJECT_STORE_URL", (tmp_path / "copy").as_uri())
    with pytest.raises(StoreMismatch, match="mer adopt"):
        reopened()
    settings = space.settings.model_copy(update={"object_store_url": (tmp_path / "copy").as_uri()})
    (manifest,) = list((tmp_path / "copy" / "manifests" / "model").glob("m1.json"))
    data = manifest.read_bytes()
    manifest.unlink()
    with pytest.raises(CatalogueError, match="lacks 1 of"):
        adopt_store(settings, anyway=False)
    manifest.write_bytes(data)
    assert adopt_store(settings, anyway=False).missing == 0
    reopened()


def test_the_store_of_another_catalogue_is_not_adopted_in_passing(space: Workspace, tmp_path: Path) -> None:
    settings = space.settings.model_copy(update={"object_store_url": (tmp_path / "others").as_uri()})
    open_store(settings).put(IDENTITY, b'{"identity": "of another"}')
    with pytest.raises(StoreMismatch, match="belongs to another catalogue"):
        adopt_store(settings, anyway=False)
    assert adopt_store(settings, anyway=True).missing > 0


def test_a_rebuild_beside_another_store_is_refused(space: Workspace, tmp_path: Path) -> None:
    settings = space.settings.model_copy(update={"object_store_url": (tmp_path / "others").as_uri()})
    with pytest.raises(StoreMismatch, match="does not belong to the object store"):
        rebuild_home(settings)


@pytest.mark.parametrize(
    ("records", "damaged"),
    [
        (SHARD_RECORDS, b'{"checksum": 1, "record": {}}'),
        (SNAPSHOT_RECORDS, gzip.compress(b"", mtime=0)[:10] + b"\xff" * 20),  # no block of deflate begins so
    ],
    ids=["json", "deflate"],
)
def test_damaged_and_missing_objects_are_said(space: Workspace, records: str, damaged: bytes) -> None:
    settings, root = space.settings, space.settings.home / "objects"
    (root / "manifests" / "model" / "m1.json").write_bytes(b"{}")
    record = next(iter(sorted(open_store(settings).keys(records))))
    (root / record).write_bytes(damaged)
    lose(settings, "gone")
    losses = "\n".join(rebuild_home(settings).rebuilt.losses)
    for part in ("damaged manifests", f"damaged record {record}", "version 1: its model is not in the store"):
        assert part in losses


def test_a_forgotten_shard_leaves_no_record(space: Workspace) -> None:
    store = open_store(space.settings)
    (_, shard), _ = space.catalogue.feature_shards()
    assert len(list(store.keys(SHARD_RECORDS))) == 2
    space.catalogue.forget_shard(shard)
    assert len(list(store.keys(SHARD_RECORDS))) == 1


def test_a_store_that_does_not_answer_keeps_no_promotion_back(
    space: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> bool:
        raise InfraError("the store is away")

    store = space.catalogue._store  # type: ignore[attr-defined]
    with monkeypatch.context() as away:
        away.setattr(store, "put", refuse)
        space.catalogue.rollback("m: a name/of any kind", "now")
    assert "written by the next start" in caplog.text
    from flows.catalogue_care import write_records

    assert "wrote 1 records" in str(write_records(space.settings))
    assert write_records(space.settings) is None


@pytest.mark.parametrize("whole", [True, False])
def test_a_backup_of_before_identities_is_paired_with_the_store_that_holds_all_of_it(
    whole: bool, space: Workspace
) -> None:
    """The one that an update makes of a home of 0.4.0 is the only one on its first day."""
    with space.catalogue.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM store_identity")
    path = back_up_home(space.settings, None, with_objects=False).path
    before = models(space)
    if not whole:
        space.artifacts.discard(space.catalogue.model_versions()[0].artifact)
    lose(space.settings, "random")
    report = restore_home(space.settings, path, anyway=False)
    if whole:
        assert report.remark == ""
        assert models(reopened()) == before
    else:
        assert "belongs to another catalogue" in report.remark


def test_a_version_that_was_given_up_lacks_nothing(space: Workspace) -> None:
    """Neither a copied store nor a backup is refused or remarked on for what the clean-up removed."""
    given_up = space.catalogue.model_versions()[0]
    space.artifacts.discard(given_up.artifact)
    with space.catalogue.database.writing() as connection:
        connection.exec_driver_sql("UPDATE model_versions SET retired_at = created_at WHERE version = 1")
    assert adopt_store(space.settings, anyway=False).missing == 0
    path = back_up_home(space.settings, None, with_objects=False).path
    lose(space.settings, "random")
    assert restore_home(space.settings, path, anyway=False).remark == ""


def test_an_empty_backup_is_passed_over(space: Workspace) -> None:
    path, before = back_up_home(space.settings, None, with_objects=False).path, models(space)
    lose(space.settings, "empty")
    with open_catalogue(space.settings) as empty:
        newer = back_up(
            empty.database, space.settings.backup_folder
        )  # as versions did that asked no questions
    lose(space.settings, "gone")
    report = restore_home(space.settings, None, anyway=False)
    assert (report.path, report.remark) == (path, "")
    assert report.skipped == (f"the backup {newer} is of an empty catalogue",)
    assert models(reopened()) == before
