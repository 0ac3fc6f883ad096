"""The home that release 0.1.0 left behind, unpacked on SQLite or Postgres: see tests/fixtures/home_0_1_0/README.md."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg
from e2e_installation import Installation

from mer.clips import Clip

FIXTURE = Path(__file__).parents[1] / "fixtures" / "home_0_1_0"
MADE_AT = "/tmp/mer-fixture-0.1.0"
"""Root of home and corpus when they were made; the catalogue names it."""
PATHS = {"corpora": "root", "clips": "path", "media_files": "path", "quarantine": "path"}
"""Columns of the catalogue that name files."""
MODEL = CORPUS = "fixture"
RECOGNISER = "wheel:moonshine-tiny"
RECIPE = FIXTURE / "recipe.yaml"
SAMPLES_ARE_NAMES = "content" in Clip.__dataclass_fields__
"""Whether every file is a clip (from revision 0005 on), or every content."""


@dataclass(frozen=True)
class OldHome:
    """A home of 0.1.0 that no later code has opened yet, and what 0.1.0 said of it."""

    root: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    """Settings beside `MER_HOME`."""

    @cached_property
    def facts(self) -> dict[str, Any]:
        """expected.json."""
        facts: dict[str, Any] = json.loads((FIXTURE / "expected.json").read_text(encoding="utf-8"))
        return facts

    @property
    def installation(self) -> Installation:
        """The command line in this home."""
        return Installation(self.root / "home", self.root / "corpus", self.environment)


def extract(root: Path) -> Path:
    """The archive as it is: copies of it are opened."""
    with tarfile.open(FIXTURE / "home.tar.xz") as archive:
        archive.extractall(root, filter="data")
    return root


def unpack(archive: Path, root: Path) -> OldHome:
    """Home and corpus below `root`, with the SQLite catalogue; `archive`: what `extract` gave."""
    shutil.copytree(archive, root, dirs_exist_ok=True)
    base = sqlite3.connect(root / "home" / "catalogue.db")
    for table, column in PATHS.items():
        base.execute(f"update {table} set {column} = replace({column}, ?, ?)", (MADE_AT, str(root)))
    base.commit()
    base.close()
    return OldHome(root)


def unpack_on_postgres(archive: Path, root: Path, url: str) -> OldHome:
    """The same with its catalogue in the empty Postgres database at `url`; there is no SQLite one."""
    home = unpack(archive, root)
    (root / "home" / "catalogue.db").unlink()
    dump = (FIXTURE / "catalogue.sql").read_text(encoding="utf-8")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(dump.replace(MADE_AT, str(root)).encode())
    return OldHome(home.root, {"MER_DATABASE_URL": url})


def revision(home: OldHome) -> str:
    """Schema revision of the catalogue, read past the product: it would migrate."""
    url = home.environment.get("MER_DATABASE_URL")
    query = "select version_num from alembic_version"
    if url is None:
        (found,) = sqlite3.connect(home.root / "home" / "catalogue.db").execute(query).fetchone()
        return str(found)
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return str(row[0])


def content_of(row: Any) -> str:
    """Content hash of a catalogue row."""
    return str(row.content if SAMPLES_ARE_NAMES else row.clip_id)


def clip_of(row: Any, corpus_root: Path) -> Clip:
    """A catalogue row as the predictor reads it, with the transcript that is stored."""
    key = "content" if SAMPLES_ARE_NAMES else "clip_id"
    named: dict[str, Any] = {key: content_of(row)}
    return Clip(**named, name=row.name, path=row.path, corpus_root=corpus_root, transcript=row.transcript)
