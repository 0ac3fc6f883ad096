"""One table and media files: `labels.csv`, .tsv, .parquet or .xlsx with the name or path of every clip and what is known of it.

Media are found by name (file stem) below the root, or by path; near names are taken where they are unambiguous. Media without a
row become unlabelled clips. Problems of single rows leave the clip out with a reason; problems of the table (an unknown label, a
column that is no number) are collected and raised together, because guessing at labels would poison a training set.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mer.corpora.columns import with_known_columns
from mer.corpora.feature_files import FeatureFolders
from mer.corpora.matching import match_rows
from mer.corpora.media_index import index_media
from mer.corpora.near_names import loosest_key
from mer.corpora.options import ReadingOptions
from mer.corpora.reading import Reading
from mer.corpora.rows import parse_rows
from mer.corpora.table_file import TABLE_SUFFIXES, Cells, read_cells
from mer.corpora.transcripts import is_transcript_file, texts_beside
from mer.corpora.valence_scale import about_scale
from mer.corpora.votes import counted_votes, merged_votes
from mer.errors import CorpusError
from mer.media.suffixes import is_hidden

LABELS = "labels"
"""Stem of the table that is meant where there are several."""


class TableReader:
    """Reader of any folder with one table of labels (format F of the project's list of layouts)."""

    format = "table"
    layout = "one table (labels.csv) with a column `name` or `path`, and media files"

    def matches(self, root: Path) -> bool:
        """A table lies in the root."""
        return bool(tables_of(root))

    def labelled(
        self, root: Path, media: Sequence[Path], emotions: Sequence[str], options: ReadingOptions
    ) -> int:
        """How many of the media files (without any: clips with features) have a row with a label; 0 for an unusable table."""
        return self._rows(root, media, with_labels=True)

    def named(self, root: Path, media: Sequence[Path]) -> int:
        """How many of the media files (without any: clips with features) have a row at all."""
        return self._rows(root, media, with_labels=False)

    def has_labels(self, root: Path) -> bool:
        """Whether a table has labels, whatever its names fit; True for one that cannot be read: its errors are worth saying."""
        return any(_may_have_labels(table) for table in tables_of(root))

    def _rows(self, root: Path, media: Sequence[Path], *, with_labels: bool) -> int:
        files = {loosest_key(path.stem) for path in media}
        files = files or {loosest_key(name) for name in FeatureFolders(root).names}
        counts = (_rows_with_files(table, files, with_labels) for table in tables_of(root))
        return max(counts, default=0)

    def read(self, root: Path, emotions: Sequence[str], options: ReadingOptions) -> Reading:
        """Match rows to media files.

        Raises:
            CorpusError: two tables, an unreadable one, all problems of its cells in one message, or no row fits a file.
        """
        tables = tables_of(root)
        if len(tables) > 1:
            tables = _usable(root, tables)
        table = tables[0].name
        content, transcripts = texts_beside(root, table, read_cells(tables[0]), options.text_column)
        counted = counted_votes(content, table, emotions, options.label_map)
        cells, notes = with_known_columns(counted.cells, table)
        if not {"name", "path"} & set(cells.columns):
            found = ", ".join(content.columns) or "no header"
            raise CorpusError(
                f"{table}: expected a column `name` or `path` that says which clip a row is of, found {found}; rename the one "
                "that does `name`"
            )
        scale_notes, problems = about_scale((row.get("valence", "") for row in cells.rows), options)
        rows, row_notes = parse_rows(cells, table, emotions, options, problems=problems)
        rows, about_votes = merged_votes(rows, cells, counted, table)
        notes = [*cells.notes, *notes, *scale_notes, *row_notes, *about_votes]
        return transcripts.added_to(match_rows(rows, index_media(root), FeatureFolders(root), notes))


def tables_of(root: Path) -> list[Path]:
    """The table called labels (in any case), or else every table in the root."""
    tables = sorted(
        path
        for path in root.iterdir()
        if path.suffix.lower() in TABLE_SUFFIXES
        and not is_hidden(path.name)
        and path.is_file()
        and not is_transcript_file(path)
    )
    return [path for path in tables if path.stem.lower() == LABELS] or tables


def _usable(root: Path, tables: Sequence[Path]) -> list[Path]:
    """Of several tables the only one with names and labels.

    Raises:
        CorpusError: there is none, or several.
    """
    usable = [table for table in tables if (cells := _known(table)) is not None and _has_labels(cells)]
    if len(usable) != 1:
        listed = ", ".join(table.name for table in tables)
        raise CorpusError(f"expected one table in {root}, found {listed}: call the one to use labels.csv")
    return usable


def _known(table: Path) -> Cells | None:
    """The table under the known names of columns; None: it cannot be used."""
    try:
        cells, _ = with_known_columns(_counted(table), table.name)
    except CorpusError:
        return None
    return cells if {"name", "path"} & set(cells.columns) else None


def _may_have_labels(table: Path) -> bool:
    try:
        cells, _ = with_known_columns(_counted(table), table.name)
    except CorpusError:
        return True
    return not cells.columns or _has_labels(cells)


def _counted(table: Path) -> Cells:
    """A table with a label in the place of counts; which classes it is read for does not matter here."""
    return counted_votes(read_cells(table), table.name, (), {}).cells


def _has_labels(cells: Cells) -> bool:
    return bool({"emotion", "valence"} & set(cells.columns))


def _rows_with_files(table: Path, files: set[str], with_labels: bool) -> int:
    cells = _known(table)
    if cells is None:
        return 0
    rows = (row for row in cells.rows if not with_labels or row.get("emotion") or row.get("valence"))
    return len({loosest_key(row.get("path") or row.get("name", "")) for row in rows} & files)
