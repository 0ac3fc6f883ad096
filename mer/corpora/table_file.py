"""Cells of a CSV, TSV, Parquet file or workbook as text: encodings, line ends and separators do not matter."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mer.corpora.contained_reader import read_contained
from mer.corpora.table_text import decoded
from mer.errors import CorpusError

MAX_TABLE_BYTES = 1 << 30
"""Tables over 1 GiB are refused: they are something else."""
TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".parquet", ".xlsx"})
"""Of tables, in lower case."""

_BESIDE_CELLS = " \t\r\n\xa0\ufeff\u200b"
_SEPARATOR_LINE = re.compile(r"\s*\"?sep=(.)\"?\s*", re.IGNORECASE)
"""The first line by which Excel is told the separator."""


@dataclass(frozen=True)
class Cells:
    """A table as text; an absent value is the empty string."""

    columns: tuple[str, ...]
    """Lower case, stripped, in file order."""
    rows: list[dict[str, str]]
    lines: tuple[int, ...] = ()
    """Where each row stands in the file, counted from 1; empty: they follow the header in line 1."""
    notes: tuple[str, ...] = ()
    """Decisions taken, for people."""

    def line(self, index: int) -> int:
        """Where the row of this index stands."""
        return self.lines[index] if self.lines else index + 2


def read_cells(path: Path) -> Cells:
    """Read a table.

    Raises:
        CorpusError: no text, not Parquet, no workbook, no header, a repeated column, or a row of another length.
    """
    if path.stat().st_size > MAX_TABLE_BYTES:
        raise CorpusError(f"{path.name} has {path.stat().st_size} bytes: a table of labels was expected")
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        cells = _read_parquet(path)
    elif suffix == ".xlsx":
        rows, notes = read_contained("workbook", path)
        cells = _cells(path.name, enumerate(rows, start=1), notes)
    else:
        cells = _read_text(path)
    repeated = sorted({column for column in cells.columns if cells.columns.count(column) > 1})
    if repeated:
        raise CorpusError(f"{path.name} has the column {', '.join(repeated)} more than once")
    return cells


def _read_text(path: Path) -> Cells:
    text, notes = decoded(path.read_bytes(), path.name)
    stated = _SEPARATOR_LINE.fullmatch(text.splitlines()[0]) if text.strip() else None
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=stated[1] if stated else _delimiter(text))
    try:
        numbered = ((lines.line_num, values) for values in lines)
        if stated:
            next(numbered)
        return _cells(path.name, numbered, notes)
    except csv.Error as error:
        raise CorpusError(f"{path.name}, line {lines.line_num}: {error}") from error


def _cells(name: str, numbered: Iterable[tuple[int, list[str]]], notes: tuple[str, ...]) -> Cells:
    """The first row with anything in it is the header; blank rows and columns without a name are passed over."""
    header: tuple[str, ...] = ()
    needed = 0
    """Cells up to the last column that has a name."""
    rows: list[dict[str, str]] = []
    lines: list[int] = []
    for number, values in numbered:
        cells = [value.strip(_BESIDE_CELLS) for value in values]
        if not any(cells):
            continue
        if not header:
            header = tuple(cell.lower() for cell in cells)
            needed = max(index for index, column in enumerate(header, start=1) if column)
            continue
        if len(cells) < needed or any(cells[len(header) :]):
            raise CorpusError(
                f"{name}, line {number}: expected {len(header)} cells, found {len(cells)}; a cell that contains the separator "
                "must stand in quotes"
            )
        row = dict(zip(header, cells, strict=False))
        row.pop("", None)
        rows.append(row)
        lines.append(number)
    return Cells(tuple(column for column in header if column), rows, tuple(lines), notes)


def _delimiter(text: str) -> str:
    """The separator that the header, the first line with anything but separators, has most of."""
    header = next((line for line in text.splitlines() if line.strip(_BESIDE_CELLS + ',;\t"')), "")
    return max((",", ";", "\t"), key=header.count)


def _read_parquet(path: Path) -> Cells:
    names, values = read_contained("parquet", path)
    columns = tuple(name.strip().lower() for name in names)
    return Cells(columns, [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)])
