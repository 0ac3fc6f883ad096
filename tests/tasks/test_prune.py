"""What nobody uses is removed, and nothing else: artifacts, blobs, copies, work folders, rows and logs."""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aged_home import DAY, pass_days

from infra.artifacts import ArtifactRef
from infra.errors import CatalogueError
from infra.settings import Settings
from tasks.prune.files import cut_log
from tasks.prune.report import Cleanup
from tasks.prune.run import PruneAtWork, PrunePlan, prune
from tasks.stage.code_version import code_version
from tasks.stage.run import Produced, StageResult, StageRun, run_stage
from tasks.stage.work_folder import alone_in
from tasks.stage.work_record import WorkRecord, describe_work
from tasks.stage.workspace import Workspace, workspace

MONTH = PrunePlan(days=30)


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    return workspace()


def _body(run: StageRun) -> Produced:
    return Produced(files={"values.bin": run.folder.name.encode() * 100, "equal.txt": b"the same in all"})


def _stage(name: str) -> StageResult:
    return run_stage("test", inputs={"name": name}, config={}, produce=_body)


def _days(space: Workspace, days: int) -> None:
    """So many days pass, on four of which something else is computed: a home without any use gets no older."""
    for _ in range(4):
        pass_days(space.settings, days / 4)
        _stage(os.urandom(4).hex())


def _removed(cleanup: Cleanup, kind: str) -> int:
    return next(item.count for item in cleanup.removed if item.kind == kind)


def _blobs(space: Workspace) -> set[str]:
    return {item.key for item in space.artifacts.objects.listed("blobs")}


def test_an_artifact_that_no_run_used_for_a_month_goes_with_its_blobs_and_one_in_use_stays(
    space: Workspace,
) -> None:
    old, used = _stage("old").ref, _stage("used").ref
    space.artifacts.fetch(old)
    before = _blobs(space)
    for _ in range(4):
        pass_days(space.settings, 10)
        assert not _stage("used").ran
        _stage(os.urandom(4).hex())
    cleanup = prune(space, MONTH)
    assert _removed(cleanup, "artifacts") == 1
    assert _removed(cleanup, "blobs") == 1, "what it shares with others stays"
    assert space.artifacts.lookup("test", old.key) is None
    assert space.catalogue.artifact_record(old) is None
    assert not (space.settings.cache_folder / old.sha256).exists()
    space.artifacts.verify(used)
    assert before - _blobs(space)
    assert _stage("old").ran, "it is computed again where somebody asks for it"


def test_a_dry_run_counts_the_same_and_removes_nothing(space: Workspace) -> None:
    old = _stage("old").ref
    _days(space, 40)
    would = prune(space, PrunePlan(days=30, dry_run=True))
    assert space.artifacts.lookup("test", old.key) == old
    did = prune(space, MONTH)
    counted = {item.kind: item.count for item in would.removed}
    assert counted == {item.kind: item.count for item in did.removed}
    assert counted["artifacts"] > 0
    assert prune(space, MONTH).total == 0


def test_a_home_that_rests_for_a_year_loses_nothing(space: Workspace) -> None:
    refs = [_stage(str(number)).ref for number in range(3)]
    _days(space, 5)
    pass_days(space.settings, 365)
    assert prune(space, MONTH).total == 0
    for ref in refs:
        space.artifacts.verify(ref)


def test_a_clock_that_jumps_forward_for_a_night_makes_nothing_old(space: Workspace) -> None:
    refs = []
    for _ in range(2):
        pass_days(space.settings, 1)
        refs += [_stage("every night").ref, _stage(os.urandom(4).hex()).ref]
    pass_days(space.settings, 365)  # the clock says so
    _stage("in the wrong year")
    assert prune(space, MONTH).total == 0
    for ref in refs:
        space.artifacts.verify(ref)


def test_a_clock_that_was_set_back_makes_nothing_old(space: Workspace) -> None:
    ref = _stage("one").ref
    pass_days(space.settings, -400)
    _stage("two")
    assert prune(space, MONTH).total == 0
    assert not _stage("one").ran
    uses = space.catalogue.artifact_uses()
    assert uses["test", ref.key] <= datetime.now(UTC), "a stamp of the future is renewed"


def test_what_was_just_written_is_left_alone_whoever_refers_to_it(space: Workspace) -> None:
    _days(space, 40)
    prune(space, MONTH)
    space.artifacts.objects.put(f"blobs/aa/{'a' * 64}", b"a commit puts its blobs first")
    unrecorded = space.artifacts.commit("test", "f" * 64, {"a": b"killed before it was recorded"})
    cleanup = prune(space, MONTH)
    assert cleanup.total == 0
    space.artifacts.verify(unrecorded)
    _days(space, 4)
    prune(space, MONTH)
    assert f"blobs/aa/{'a' * 64}" not in _blobs(space)
    space.artifacts.verify(unrecorded)
    _days(space, 40)
    prune(space, MONTH)
    assert space.artifacts.lookup("test", "f" * 64) is None


def test_other_objects_are_left_alone_and_said(space: Workspace) -> None:
    for key in ("identity.json", "backups/one/catalogue.db", "blobs/aa/README", "blobs/ab/" + "a" * 64):
        space.artifacts.objects.put(key, b"not ours to remove")
    _days(space, 40)
    cleanup = prune(space, MONTH)
    for key in ("identity.json", "backups/one/catalogue.db", "blobs/aa/README", "blobs/ab/" + "a" * 64):
        assert space.artifacts.objects.exists(key)
    assert any("1 other objects" in note for note in cleanup.notes)


def test_no_blob_goes_while_a_manifest_cannot_be_read(space: Workspace) -> None:
    _stage("old")
    ref = _stage("damaged").ref
    _days(space, 40)
    _stage("damaged")
    path = space.settings.home / "objects" / "manifests" / "test" / f"{ref.key}.json"
    path.write_text("{")
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime))
    cleanup = prune(space, MONTH)
    assert _removed(cleanup, "artifacts") > 0
    assert _removed(cleanup, "blobs") == 0
    assert any("cannot be read" in note for note in cleanup.notes)


def test_work_folders_of_old_code_go_after_a_day_and_those_of_todays_code_after_the_window(
    space: Workspace,
) -> None:
    stale, resumable, busy = (space.work / "test" / name for name in ("a" * 64, "b" * 64, "c" * 64))
    current = WorkRecord.of("stage", "run", code_version(_body))
    assert current.roots
    old_code = replace(current, code="0" * 16)
    for folder, record in ((stale, old_code), (resumable, current)):
        with alone_in(folder):
            describe_work(folder, record)
            (folder / "checkpoint.safetensors").write_bytes(b"a" * 1000)
    _days(space, 4)
    with alone_in(busy):
        (busy / "checkpoint.safetensors").write_bytes(b"at work")
        pass_days(space.settings, 40)
        cleanup = prune(space, MONTH)
        assert _removed(cleanup, "work folders") == 1
        assert resumable.is_dir()
        assert busy.is_dir()
    assert not stale.exists()
    assert not stale.with_name(f"{stale.name}.lock").exists()
    _days(space, 45)
    prune(space, MONTH)
    assert not resumable.exists()
    assert not busy.exists()


def test_while_a_stage_is_at_work_its_run_keeps_what_it_may_have_looked_up(space: Workspace) -> None:
    looked_up = _stage("looked up by a run that takes weeks").ref
    folder = space.work / "test" / ("d" * 64)
    with alone_in(folder):
        describe_work(folder, WorkRecord("long", "run", "x", (), time.time()))
        _days(space, 40)  # others work meanwhile
        (folder / "work.json").write_text(
            json.dumps(
                {"label": "long", "run": "r", "code": "x", "roots": [], "started": time.time() - 40 * DAY}
            )
        )
        assert _removed(prune(space, MONTH), "artifacts") == 0
        space.artifacts.verify(looked_up)
    assert _removed(prune(space, MONTH), "artifacts") > 0


def test_two_at_once_and_a_second_one_is_refused(space: Workspace) -> None:
    from infra.locking import locked

    with locked(space.settings.home / "prune.lock"), pytest.raises(PruneAtWork, match="one at a time"):
        prune(space, MONTH)


def test_a_given_up_version_cannot_be_served_until_it_is_made_again(space: Workspace) -> None:
    first = _stage("first version").ref
    space.catalogue.add_model_version("m", first, metrics={}, idempotency_key="1")
    for number in range(2, 9):
        ref = _stage(f"version {number}").ref
        space.catalogue.add_model_version("m", ref, metrics={}, idempotency_key=str(number))
        space.catalogue.set_alias("m", "champion", number, "better")
    _days(space, 40)
    cleanup = prune(space, MONTH)
    assert _removed(cleanup, "versions whose artifacts are given up") == 3, "five champions are kept"
    rows = {row.version: row for row in space.catalogue.model_versions("m")}
    assert {number for number, row in rows.items() if row.retired_at is None} == {4, 5, 6, 7, 8}
    for number in range(4, 9):
        space.artifacts.verify(rows[number].artifact)
    assert space.artifacts.lookup("test", first.key) is None
    assert len(space.catalogue.promotions("m")) == 7, "the audit stays"
    with pytest.raises(CatalogueError, match="given up to retention"):
        space.catalogue.set_alias("m", "champion", 1, "by hand")
    for _ in range(4):
        space.catalogue.rollback("m", "drill")
    with pytest.raises(CatalogueError, match="given up"):
        space.catalogue.rollback("m", "one too far")
    again = _stage("first version").ref
    assert space.catalogue.add_model_version("m", again, metrics={}, idempotency_key="1") == 1
    space.catalogue.set_alias("m", "champion", 1, "by hand")


def test_a_find_that_comes_too_late_is_computed_again(space: Workspace) -> None:
    """The clean-up takes row and manifest between a stage's look and its stamp."""
    ref = _stage("contested").ref
    _days(space, 40)
    stamp = space.catalogue.use_artifacts
    raced: list[ArtifactRef] = []

    def late(refs: list[ArtifactRef]) -> list[ArtifactRef]:
        if ref in refs and not raced:
            raced.append(ref)
            prune(space, MONTH)
        return stamp(refs)

    space.catalogue.use_artifacts = late  # type: ignore[method-assign,assignment]
    try:
        result = _stage("contested")
    finally:
        del space.catalogue.use_artifacts  # type: ignore[attr-defined]
    assert raced
    assert result.ran
    space.artifacts.verify(result.ref)


def test_a_commit_whose_old_blob_goes_before_it_is_recorded_puts_it_back(space: Workspace) -> None:
    """The clean-up removes a blob that a commit has just found equal and not yet recorded."""
    old = _stage("old").ref
    _days(space, 40)
    content = space.artifacts.read(old, "values.bin")
    record = space.catalogue.record_artifact

    recorded: list[int] = []

    def slow(*arguments: object, **more: object) -> None:
        for item in list(space.artifacts.objects.listed("blobs")) if not recorded else ():
            space.artifacts.objects.delete(item.key)
        recorded.append(1)
        record(*arguments, **more)  # type: ignore[arg-type]

    space.catalogue.record_artifact = slow  # type: ignore[method-assign,assignment]
    try:
        result = run_stage("other", inputs={}, config={}, produce=lambda run: Produced(files={"a": content}))
    finally:
        del space.catalogue.record_artifact  # type: ignore[attr-defined]
    space.artifacts.verify(result.ref)


def test_an_equal_run_writes_nothing_to_the_catalogue_within_a_day(space: Workspace) -> None:
    refs = [_stage(str(number)).ref for number in range(5)]
    writes: list[int] = []
    opened = space.catalogue.database.writing

    def counted() -> object:
        writes.append(1)
        return opened()

    space.catalogue.database.writing = counted  # type: ignore[method-assign,assignment]
    try:
        assert not any(_stage(str(number)).ran for number in range(5))
        assert writes == []
        pass_days(space.settings, 2)
        assert space.catalogue.use_artifacts(refs) == refs
        assert writes == [1]
    finally:
        del space.catalogue.database.writing  # type: ignore[attr-defined]


def test_a_log_is_cut_to_its_last_lines_while_its_server_writes(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    with path.open("ab", buffering=0) as server:
        for number in range(10_000):
            server.write(b"line %d\n" % number)
        cut_log(path, 1000)
        assert path.stat().st_size <= 1000
        server.write(b"after\n")
    lines = path.read_bytes().splitlines()
    assert lines[-2:] == [b"line 9999", b"after"]
    assert all(line.startswith((b"line ", b"after")) for line in lines)


def test_time_is_bounded_where_it_is_given(space: Workspace) -> None:
    for number in range(9):
        _stage(str(number))
    _days(space, 40)
    cleanup = prune(space, PrunePlan(days=30, seconds=0.0))
    assert not cleanup.finished
    prune(space, MONTH)
    assert prune(space, MONTH).total == 0


def test_readers_and_the_clean_up_of_copies_do_not_meet(space: Workspace) -> None:
    """A copy is fetched again and again while others are removed: what `fetch` returned is there."""
    ref = _stage("copied").ref
    stop, wrong = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            folder = space.artifacts.fetch(ref)
            if not (folder / "values.bin").is_file():
                wrong.append(folder)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(10):
            folder = space.settings.cache_folder / ref.sha256
            if folder.is_dir():
                os.utime(folder, (0, 0))
            prune(space, MONTH)
    finally:
        stop.set()
        reader.join()
    assert not wrong


def test_a_work_folder_that_a_kill_left_empty_is_looked_at(space: Workspace) -> None:
    with alone_in(space.work / "test" / "key"):
        pass
    assert (space.work / "test" / "key").is_dir() and not list((space.work / "test" / "key").iterdir())
    prune(space, MONTH)
    assert (space.work / "test" / "key").is_dir(), "it is young"


@pytest.mark.slow
def test_a_bucket_is_cleaned_up_like_a_folder(
    s3_settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert s3_settings.s3_access_key is not None
    assert s3_settings.s3_secret_key is not None
    for name, value in (
        ("HOME", str(tmp_path / "home")),
        ("OBJECT_STORE_URL", s3_settings.object_store_url),
        ("S3_ACCESS_KEY", s3_settings.s3_access_key.get_secret_value()),
        ("S3_SECRET_KEY", s3_settings.s3_secret_key.get_secret_value()),
        ("RETENTION_GRACE_HOURS", "0.0000001"),  # the clock of a bucket cannot be moved
    ):
        monkeypatch.setenv(f"MER_{name}", value)
    space = workspace()
    old, used = _stage("old").ref, _stage("used").ref
    time.sleep(1.5)
    for _ in range(4):
        pass_days(space.settings, 10)
        _stage("used")
        _stage(os.urandom(4).hex())
    cleanup = prune(space, MONTH)
    assert _removed(cleanup, "artifacts") == 1
    assert _removed(cleanup, "blobs") == 1
    assert space.artifacts.lookup("test", old.key) is None
    space.artifacts.verify(used)
    assert _stage("old").ran
