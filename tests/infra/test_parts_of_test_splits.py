"""Named test parts in the catalogue: stored, taken over by snapshots, and no reason for old snapshots to change their hashes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from alembic import command
from catalogue_rows import clip
from sqlalchemy import text

from infra.catalogue import Catalogue, open_catalogue
from infra.catalogue.schema import alembic_config
from infra.catalogue.snapshots import membership_hash


def test_parts_are_stored_and_follow_into_snapshots(catalogue: Catalogue) -> None:
    catalogue.upsert_corpus("c", "/corpus", "mertools", ("angry",))
    rows = [clip(0), clip(1, split="test", part="test1"), clip(2, split="test", part="test2")]
    catalogue.upsert_clips("c", rows)
    stored = catalogue.clips("c")
    assert [row.part for row in stored] == [None, "test1", "test2"]
    taken = catalogue.snapshot("c", stored)
    assert [member.part for member in catalogue.snapshot_members(taken.id)] == [None, "test1", "test2"]
    catalogue.upsert_clips("c", [clip(2, split="test", part="test3")])
    assert catalogue.snapshot("c", catalogue.clips("c")).id != taken.id


def test_without_parts_a_membership_hash_is_what_it_was(catalogue: Catalogue) -> None:
    catalogue.upsert_corpus("c", "/corpus", "table", ("angry",))
    catalogue.upsert_clips("c", [clip(0)])
    (row,) = catalogue.clips("c")
    columns = [row.name, row.content, None, None, row.speaker, row.split, row.fold, row.transcript]
    line = json.dumps(columns, separators=(",", ":")) + "\n"
    assert membership_hash([row]) == hashlib.sha256(line.encode()).hexdigest()


def test_a_catalogue_of_before_there_were_parts_opens_with_its_rows(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'catalogue.db'}"
    with open_catalogue(url) as catalogue:
        catalogue.upsert_corpus("c", "/corpus", "table", ("angry",))
        catalogue.upsert_clips("c", [clip(0), clip(1, split="test")])
        taken = catalogue.snapshot("c", catalogue.clips("c"))
        config = alembic_config()
        with catalogue.database.writing() as connection:
            config.attributes["connection"] = connection
            command.downgrade(config, "0006")
            columns = {row.name for row in connection.execute(text("PRAGMA table_info(clips)"))}
            assert "split" in columns and "part" not in columns
    with open_catalogue(url) as catalogue:
        assert [(row.name, row.split, row.part) for row in catalogue.clips("c")] == [
            ("clip0", "train", None), ("clip1", "test", None),
        ]  # fmt: skip
        assert catalogue.snapshot("c", catalogue.clips("c")).id == taken.id
