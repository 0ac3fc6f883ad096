"""Clips of a corpus a page at a time, for lists that people read: nothing here reads the whole corpus."""

from __future__ import annotations

from infra.catalogue.clips import ClipRow, clip_row, clip_rows, has_file
from infra.catalogue.corpora import corpus_id
from infra.catalogue.database import Database
from infra.catalogue.tables import Clip


class ClipPages:
    """Lists of clips. Raises CatalogueError for a corpus that is not catalogued."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def clip_page(
        self, corpus: str, *, after: str = "", contains: str = "", limit: int = 50
    ) -> list[ClipRow]:
        """The next clips that have a file, in the database's order of names.

        Args:
            corpus: its name.
            after: name of the last clip of the page before; empty: from the first one.
            contains: part of the names; empty: all.
            limit: most clips.
        """
        with self._database.reading() as connection:
            query = clip_rows().where(Clip.corpus_id == corpus_id(connection, corpus), has_file())
            if after:
                query = query.where(Clip.name > after)
            if contains:
                query = query.where(Clip.name.icontains(contains, autoescape=True))
            rows = connection.execute(query.order_by(Clip.name).limit(limit)).mappings().all()
        return [clip_row(row) for row in rows]
