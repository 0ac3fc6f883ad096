"""Revision 0005: a catalogue whose clips were contents becomes one whose clips are names, and the way back."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, text

from infra.catalogue import Catalogue, open_catalogue
from infra.catalogue.database import Database
from infra.catalogue.schema import alembic_config

A, B, C, D = (letter * 64 for letter in "abcd")
REF = '{"kind": "model", "key": "k", "sha256": "' + "0" * 64 + '", "meta": {}}'
Rows = Mapping[str, Sequence[Mapping[str, Any]]]


def clip(content: str, name: str, path: str, **more: Any) -> dict[str, Any]:
    return {
        "corpus_id": 1, "clip_id": content, "name": name, "path": path, "duration_seconds": 1.5, "has_audio": True,
        "has_video": False, "width": None, "height": None, "speaker": f"speaker of {name}", "split": "train", "fold": 2, **more,
    }  # fmt: skip


def file(content: str, name: str, path: str) -> dict[str, Any]:
    return {
        "corpus_id": 1,
        "path": path,
        "name": name,
        "size": 10,
        "mtime_ns": 1_700_000_000_000_000_000,
        "clip_id": content,
    }


def label(content: str, emotion: str) -> dict[str, Any]:
    return {"corpus_id": 1, "clip_id": content, "emotion": emotion, "valence": 1.5}


def said(content: str, source: str, words: str) -> dict[str, Any]:
    return {"corpus_id": 1, "clip_id": content, "source": source, "text": words}


def member(content: str, emotion: str | None) -> dict[str, Any]:
    return {
        "snapshot_id": "s" * 64, "clip_id": content, "emotion": emotion, "valence": None, "speaker": "x", "split": "train",
        "fold": None, "transcript": None,
    }  # fmt: skip


OLD: Rows = {
    "corpora": [
        {
            "id": 1,
            "name": "c",
            "root": "/c",
            "format": "table",
            "emotions": '["sad", "happy"]',
            "created_at": "2026-01-01",
        }
    ],
    "clips": [
        clip(A, "one", "/c/one.wav"),  # also lies under two other names
        clip(B, "two", "/c/two.wav", split="test"),
        clip(C, "two", "/c/gone.wav", speaker="stale"),  # its file is gone, and its name taken since
        clip(D, "batch", "/c/batch.wav", split="unlabelled", speaker=None),
    ],
    "media_files": [
        file(A, "one", "/c/one.wav"),
        file(A, "copy", "/c/copy.wav"),
        file(A, "two", "/c/a_copy_called_as_another_clip.wav"),  # the catalogue was behind the corpus
        file(B, "two", "/c/two.wav"),
        file(D, "batch", "/c/batch.wav"),
    ],
    "gold_labels": [label(A, "sad"), label(B, "happy"), label(C, "sad")],
    "transcripts": [said(A, "corpus", "told"), said(B, "asr", "heard"), said(D, "asr", "heard too")],
    "clip_quality": [{"clip_id": A, "method": "1:haar", "duration_seconds": 1.5, "snr_db": 20.0}],
    "feature_shards": [{"id": 1, "feature_key": "f", "artifact_key": "k", "artifact": REF}],
    "features": [
        {"feature_key": "f", "clip_id": A, "shard_id": 1},
        {"feature_key": "f", "clip_id": B, "shard_id": 1},
    ],
    "snapshots": [
        {
            "id": "s" * 64,
            "corpus_id": 1,
            "clip_count": 3,
            "labelled_count": 2,
            "created_at": "2026-01-01",
        }
    ],
    "snapshot_members": [member(A, "sad"), member(B, "happy"), member(C, None)],
    "generations": [
        {
            "id": 1, "key": "g", "corpus_id": 1, "artifact": REF, "policy": "{}", "counts": "{}", "created_at": "2026-01-01",
            "recipe": "r", "round": 1, "state": "live", "reason": "", "membership": "",
        }
    ],
    "pseudo_labels": [{"generation_id": 1, "clip_id": D, "emotion": "sad", "confidence": 0.9, "valence": None}],
}  # fmt: skip


def insert(connection: Connection, rows: Rows) -> None:
    for table, values in rows.items():
        for row in values:
            marks = ", ".join(f":{name}" for name in row)
            connection.execute(text(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})"), row)


def migrated_to(database: Database, revision: str, *, down: bool = False) -> None:
    config = alembic_config()
    with database.writing() as connection:
        config.attributes["connection"] = connection
        (command.downgrade if down else command.upgrade)(config, revision)


@pytest.fixture
def old_url(database_url: str) -> str:
    """A database of 0.1.0 with clips of equal content."""
    database = Database(database_url, timeout_seconds=10)
    migrated_to(database, "0004")
    with database.writing() as connection:
        insert(connection, OLD)
    database.close()
    return database_url


@pytest.fixture
def opened(old_url: str) -> Iterator[Catalogue]:
    with open_catalogue(old_url, timeout_seconds=10) as catalogue:
        yield catalogue


def test_every_file_becomes_a_clip_and_the_one_the_content_was_called_after_keeps_what_was_known(
    opened: Catalogue,
) -> None:
    rows = {row.name: row for row in opened.clips("c", "asr")}
    assert {name: (row.content, str(row.path)) for name, row in rows.items()} == {
        "one": (A, "/c/one.wav"), "copy": (A, "/c/copy.wav"), "two": (B, "/c/two.wav"), "batch": (D, "/c/batch.wav"),
    }  # fmt: skip
    told = {
        name: (row.speaker, row.split, row.fold, row.emotion, row.transcript) for name, row in rows.items()
    }
    assert told == {
        "one": ("speaker of one", "train", 2, "sad", "told"),
        "copy": (None, "unlabelled", None, None, None),
        "two": ("speaker of two", "test", 2, "happy", "heard"),
        "batch": (None, "unlabelled", 2, None, "heard too"),
    }
    assert all(row.duration_seconds == 1.5 and row.has_audio for row in rows.values())
    known = opened.known_files("c")
    assert set(known) == {"/c/one.wav", "/c/copy.wav", "/c/two.wav", "/c/batch.wav"}, (
        "the others are read again"
    )


def test_what_belongs_to_a_content_is_found_by_it(opened: Catalogue) -> None:
    assert set(opened.features_of("f", [A, B, D])) == {A, B}
    assert {content: row.snr_db for content, row in opened.quality("c", "1:haar").items()} == {A: 20.0}


def test_snapshots_and_pseudo_labels_have_name_and_content(opened: Catalogue) -> None:
    members = {(row.name, row.content): row.emotion for row in opened.snapshot_members("s" * 64)}
    assert members == {("one", A): "sad", ("two", B): "happy", (C, C): None}, "two were called two"
    assert [tuple(row) for row in opened.pseudo_labels("g")] == [
        ("batch", D, "sad", pytest.approx(0.9), None)
    ]
    ((generation, _),) = opened.pseudo_labels_of("c", "batch")
    assert generation.key == "g"


def test_the_cost_is_told_before(old_url: str, caplog: pytest.LogCaptureFixture) -> None:
    for told in (1, 0):
        caplog.clear()
        with caplog.at_level(logging.WARNING), open_catalogue(old_url):
            pass
        assert sum("computes features" in line for line in caplog.messages) == told


def test_a_new_catalogue_is_told_nothing(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), open_catalogue(database_url):
        pass
    assert not caplog.messages


def test_there_and_back(opened: Catalogue, old_url: str) -> None:
    opened.set_gold_labels("c", [("copy", "happy", None)])
    before = {row.name: row for row in opened.clips("c", "asr")}
    migrated_to(opened.database, "0004", down=True)
    with opened.database.reading() as connection:
        clips = connection.execute(text("SELECT clip_id, name FROM clips WHERE clip_id <> 'x' ORDER BY name"))
        assert [tuple(row) for row in clips] == [(D, "batch"), (A, "copy"), (B, "two")], "first by name"
        files = connection.execute(text("SELECT path, clip_id FROM media_files ORDER BY path")).all()
        assert [tuple(row) for row in files] == [
            ("/c/batch.wav", D), ("/c/copy.wav", A), ("/c/one.wav", A), ("/c/two.wav", B),
        ]  # fmt: skip
        heard = connection.execute(text("SELECT clip_id, source, text FROM transcripts")).all()
        assert sorted(map(tuple, heard)) == [(B, "asr", "heard"), (D, "asr", "heard too")]
        votes = connection.execute(text("SELECT clip_id FROM pseudo_labels")).all()
        assert [tuple(row) for row in votes] == [(D,)]
    with open_catalogue(old_url) as again:
        rows = {row.name: row for row in again.clips("c", "asr")}
        assert set(rows) == set(before)
        assert rows["two"] == before["two"] and rows["copy"].emotion == "happy"
        assert len(again.snapshot_members("s" * 64)) == 3
