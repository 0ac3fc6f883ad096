"""Uses are stamped once a day, and what is removed is looked at again in the transaction that removes it; on both databases."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from catalogue_rows import clip, generation, label, ref
from sqlalchemy import text, update

from infra.catalogue import Catalogue, open_catalogue
from infra.catalogue.database import Database
from infra.catalogue.labels import GenerationState
from infra.catalogue.quality import QualityRow
from infra.catalogue.schema import alembic_config
from infra.catalogue.tables import Artifact
from infra.errors import CatalogueError

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def _age(catalogue: Catalogue, key: str, when: datetime) -> None:
    with catalogue.database.writing() as connection:
        connection.execute(update(Artifact).where(Artifact.key == key).values(used_at=when, created_at=when))


def test_a_use_is_stamped_once_a_day_and_an_old_one_is_to_be_looked_at_again(catalogue: Catalogue) -> None:
    one, two, unknown = ref("one"), ref("two"), ref("unknown")
    for item in (one, two):
        catalogue.record_artifact(item, stage="fusion", code_version="c")
    assert catalogue.use_artifacts([one, two]) == []
    _age(catalogue, one.key, LONG_AGO)
    assert catalogue.use_artifacts([one, two, unknown]) == [one, unknown]
    assert catalogue.use_artifacts([one, two, unknown]) == []
    ahead = datetime.now(UTC) + timedelta(days=400)
    _age(catalogue, two.key, ahead)
    assert catalogue.use_artifacts([two]) == [two]
    assert catalogue.artifact_uses()[two.kind, two.key] < ahead, "a clock that was set back"


def test_what_is_used_meanwhile_is_not_removed(catalogue: Catalogue) -> None:
    item = ref("one")
    catalogue.record_artifact(item, stage="features", code_version="c")
    catalogue.register_features("f" * 64, item, ["a" * 64])
    removed: list[int] = []
    before = datetime.now(UTC) - timedelta(days=30)
    assert not catalogue.forget_artifact(item.kind, item.key, before, lambda: removed.append(1))
    assert catalogue.features_of("f" * 64, ["a" * 64])
    _age(catalogue, item.key, LONG_AGO)
    with pytest.raises(OSError, match="store"):
        catalogue.forget_artifact(item.kind, item.key, before, _fails)
    assert catalogue.features_of("f" * 64, ["a" * 64]), "all or nothing"
    assert catalogue.forget_artifact(item.kind, item.key, before, lambda: removed.append(1))
    assert removed == [1]
    assert not catalogue.features_of("f" * 64, ["a" * 64])
    assert not catalogue.feature_shards()
    assert catalogue.artifact_record(item) is None


def _fails() -> None:
    raise OSError("the store does not answer")


def test_a_stamp_waits_for_a_removal_and_then_says_to_look_again(catalogue: Catalogue) -> None:
    item = ref("contested")
    catalogue.record_artifact(item, stage="fusion", code_version="c")
    _age(catalogue, item.key, LONG_AGO)
    stamped: list[object] = []
    user = threading.Thread(target=lambda: stamped.append(catalogue.use_artifacts([item])))

    def remove() -> None:
        user.start()
        user.join(0.3)
        assert not stamped, "the stamp waits"

    assert catalogue.forget_artifact(item.kind, item.key, datetime.now(UTC), remove)
    user.join(20)
    assert stamped == [[item]]


def test_no_commit_is_recorded_while_blobs_are_removed(catalogue: Catalogue) -> None:
    first, second = ref("first"), ref("second")
    catalogue.record_artifact(first, stage="fusion", code_version="c")
    recorder = threading.Thread(
        target=lambda: catalogue.record_artifact(second, stage="fusion", code_version="c")
    )
    with catalogue.store_kept_still() as there:
        assert there == {(first.kind, first.key): first.sha256}
        recorder.start()
        recorder.join(0.3)
        assert recorder.is_alive()
    recorder.join(20)
    assert catalogue.artifact_record(second) is not None


def test_rows_go_with_what_they_are_about(catalogue: Catalogue) -> None:
    catalogue.upsert_corpus("c", "/c", "folders", ["angry", "happy"])
    catalogue.upsert_clips("c", [clip(number) for number in range(4)])
    rows = [QualityRow(content=clip(number).content, method="m", duration_seconds=1.0) for number in range(4)]
    catalogue.set_quality(rows)
    catalogue.set_recognised("r", [(clip(3).content, "hello")])
    old = catalogue.snapshot("c", catalogue.clips("c"))
    catalogue.add_generation(
        generation("g", "c", state=GenerationState.REJECTED), [label(0, "angry", 0.9, None)]
    )
    catalogue.forget_files("c", ["/corpus/clip3.mp4"])
    new = catalogue.snapshot("c", catalogue.clips("c"))
    soon = datetime.now(UTC) + timedelta(seconds=5)
    for dry_run in (True, False):
        assert catalogue.remove_clips_without_file(dry_run=dry_run) == 0, "a snapshot has it"
        assert catalogue.remove_snapshots(soon, dry_run=dry_run) == 1
    assert catalogue.first_corpus(old.id) is None
    assert len(catalogue.snapshot_members(new.id)) == 3
    assert catalogue.remove_rejected_generations(soon, {(ref("m").kind, ref("m").key)}, dry_run=False) == 0
    for dry_run in (True, False):
        assert catalogue.remove_clips_without_file(dry_run=dry_run) == 1
        assert catalogue.remove_orphaned_contents(dry_run=dry_run) == (0 if dry_run else 2)
        assert catalogue.remove_rejected_generations(soon, set(), dry_run=dry_run) == 1
    assert catalogue.remove_orphaned_contents(dry_run=False) == 0
    assert set(catalogue.quality("c", "m")) <= {clip(number).content for number in range(3)}
    assert catalogue.generations("c") == []
    again = catalogue.snapshot("c", [*catalogue.clips("c")])
    assert again.id == new.id


def test_versions_are_given_up_but_for_those_that_a_rollback_reaches(catalogue: Catalogue) -> None:
    for number in range(1, 7):
        catalogue.add_model_version("m", ref(f"v{number}"), metrics={}, idempotency_key=str(number))
        if number % 2:
            catalogue.set_alias("m", "champion", number, "better")
    soon = datetime.now(UTC) + timedelta(seconds=5)
    assert catalogue.retire_versions(2, LONG_AGO, dry_run=False) == 0, "all are young"
    assert catalogue.retire_versions(2, soon, dry_run=True) == 3
    assert catalogue.retire_versions(2, soon, dry_run=False) == 3
    kept = {row.version for row in catalogue.model_versions("m") if row.retired_at is None}
    assert kept == {3, 5, 6}, "two champions, and the newest"
    assert catalogue.referred_artifacts(2, soon) == {("model", ref(f"v{number}").key) for number in kept}
    assert len(catalogue.promotions("m")) == 3
    assert catalogue.rollback("m", "drill").version == 3
    with pytest.raises(CatalogueError, match="version 1 of model 'm' was given up to retention"):
        catalogue.rollback("m", "drill")
    champion = catalogue.champion("m")
    assert champion is not None
    assert champion.version == 3


def test_what_an_existing_catalogue_has_counts_as_used_when_it_is_migrated(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'catalogue.db'}", 10)
    config = alembic_config()
    with database.writing() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0008")
        connection.execute(
            text(
                "INSERT INTO artifacts (kind, key, sha256, meta, stage, code_version, created_at) "
                "VALUES ('fusion', 'k', :sha, '{}', 'fusion', 'c', '2020-01-01 00:00:00.000000')"
            ),
            {"sha": "a" * 64},
        )
    database.close()
    with open_catalogue(f"sqlite:///{tmp_path / 'catalogue.db'}") as catalogue:
        [used] = catalogue.artifact_uses().values()
        assert abs(datetime.now(UTC) - used) < timedelta(minutes=5)
