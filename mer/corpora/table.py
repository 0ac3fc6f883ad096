"""One table and media files: `labels.csv` or `labels.parquet` with `name` or `path` and any of the known
columns.

Media are found by name (file stem) below the root, or by `path`. Media without a row become unlabelled clips.
Problems of single rows leave the clip out with a reason; problems of the table (an unknown label, a column
that is no number) are collected and raised together, because guessing at labels would poison a training set.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mer.corpora.feature_files import FeatureFolders
from mer.corpora.matching import match_rows
from mer.corpora.media_index import index_media
from mer.corpora.options import ReadingOptions
from mer.corpora.reading import Reading
from mer.corpora.rows import parse_rows
from mer.corpora.table_file import read_cells
from mer.corpora.transcripts import is_transcript_file, texts_beside
from mer.errors import CorpusError

TABLE_SUFFIXES = (".csv", ".parquet", ".tsv")


class TableReader:
    """Reader of any folder with one table of labels (format F of the project's list of layouts)."""

    format = "table"
    layout = "one table (labels.csv) with a column `name` or `path`, and media files"

    def matches(self, root: Path) -> bool:
        """A table lies in the root."""
        return bool(_tables(root))

    def read(self, root: Path, emotions: Sequence[str], options: ReadingOptions) -> Reading:
        """Match rows to media files.

        Raises:
            CorpusError: two tables, an unreadable one, or all problems of its cells in one message.
        """
        tables = _tables(root)
        if len(tables) > 1:
            listed = ", ".join(table.name for table in tables)
            raise CorpusError(f"expected one table in {root}, found {listed}: call the one to use labels.csv")
        table = tables[0].name
        cells, transcripts = texts_beside(root, table, read_cells(tables[0]), options.text_column)
        rows, notes = parse_rows(cells, table, emotions, options)
        return transcripts.added_to(match_rows(rows, index_media(root), FeatureFolders(root), notes))


def _tables(root: Path) -> list[Path]:
    """The table called labels, or else every table in the root."""
    tables = sorted(
        path
        for path in root.iterdir()
        if path.suffix in TABLE_SUFFIXES and path.is_file() and not is_transcript_file(path)
    )
    return [path for path in tables if path.stem == "labels"] or tables
