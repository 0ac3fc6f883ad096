"""Corpora by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select, update

from infra.catalogue.database import Database
from infra.catalogue.tables import Corpus
from infra.catalogue.utc_time import utc_now
from infra.errors import CatalogueError


@dataclass(frozen=True, kw_only=True)
class CorpusRow:
    """A corpus as catalogued."""

    id: int
    name: str
    root: Path
    format: str
    emotions: tuple[str, ...]


class CorpusCatalogue:
    """Corpora. Other parts of the catalogue name a corpus by its name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def upsert_corpus(self, name: str, root: str | Path, format: str, emotions: Sequence[str]) -> int:
        """Catalogue a corpus or bring it up to date; returns its id."""
        values: dict[str, Any] = {"root": str(root), "format": format, "emotions": list(emotions)}
        with self._database.writing() as connection:
            row_id = connection.scalar(select(Corpus.id).where(Corpus.name == name).with_for_update())
            if row_id is not None:
                connection.execute(update(Corpus).where(Corpus.id == row_id).values(values))
                return row_id
            new = insert(Corpus).values(name=name, created_at=utc_now(), **values)
            return connection.execute(new.returning(Corpus.id)).scalar_one()

    def corpora(self) -> list[CorpusRow]:
        """All corpora by name."""
        columns = (Corpus.id, Corpus.name, Corpus.root, Corpus.format, Corpus.emotions)
        with self._database.reading() as connection:
            rows = connection.execute(select(*columns).order_by(Corpus.name)).all()
        return [
            CorpusRow(
                id=row.id, name=row.name, root=Path(row.root), format=row.format, emotions=tuple(row.emotions)
            )
            for row in rows
        ]

    def corpus(self, name: str) -> CorpusRow:
        """The corpus of this name. Raises CatalogueError if there is none."""
        for corpus in self.corpora():
            if corpus.name == name:
                return corpus
        raise _unknown(name)

    def corpus_root(self, name: str) -> Path:
        """Folder of the corpus. Raises CatalogueError if there is none of this name."""
        return self.corpus(name).root


def corpus_id(connection: Connection, name: str) -> int:
    """Id of the corpus of this name. Raises CatalogueError if there is none."""
    row_id = connection.scalar(select(Corpus.id).where(Corpus.name == name))
    if row_id is None:
        raise _unknown(name)
    return row_id


def _unknown(name: str) -> CatalogueError:
    return CatalogueError(f"no corpus {name!r} in the catalogue: ingest it first")
