"""Cells of a CSV, TSV or Parquet file as text: byte order marks, line ends and separators do not matter."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from mer.errors import CorpusError

MAX_TABLE_BYTES = 1 << 30
"""Tables over 1 GiB are refused: they are something else."""


@dataclass(frozen=True)
class Cells:
    """A table as text; an absent value is the empty string."""

    columns: tuple[str, ...]
    """Lower case, stripped, in file order."""
    rows: list[dict[str, str]]


def read_cells(path: Path) -> Cells:
    """Read a table.

    Raises:
        CorpusError: not UTF-8, not Parquet, no header, a repeated column, or a row of another length.
    """
    if path.stat().st_size > MAX_TABLE_BYTES:
        raise CorpusError(f"{path.name} has {path.stat().st_size} bytes: a table of labels was expected")
    cells = _read_parquet(path) if path.suffix == ".parquet" else _read_text(path)
    repeated = sorted({column for column in cells.columns if cells.columns.count(column) > 1})
    if repeated:
        raise CorpusError(f"{path.name} has the column {', '.join(repeated)} more than once")
    return cells


def _read_text(path: Path) -> Cells:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path.name} is not UTF-8 (byte {error.start}): save it as UTF-8") from error
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
    try:
        header = tuple(column.strip().lower() for column in next(lines, []))
        rows = []
        for values in lines:
            if not any(value.strip() for value in values):
                continue
            if len(values) != len(header):
                raise CorpusError(
                    f"{path.name}, line {lines.line_num}: expected {len(header)} cells, found {len(values)}"
                )
            rows.append(dict(zip(header, (value.strip() for value in values), strict=True)))
    except csv.Error as error:
        raise CorpusError(f"{path.name}, line {lines.line_num}: {error}") from error
    return Cells(header, rows)


def _delimiter(text: str) -> str:
    """The separator the header line has most of."""
    header = text.split("\n", 1)[0]
    return max((",", ";", "\t"), key=header.count)


def _read_parquet(path: Path) -> Cells:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise CorpusError(f"{path.name} is not a Parquet table: {error}") from error
    columns = tuple(str(column).strip().lower() for column in table.column_names)
    values = [[_as_text(value) for value in column.to_pylist()] for column in table.columns]
    return Cells(columns, [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)])


def _as_text(value: object) -> str:
    """Parquet's ways of saying "nothing here" (null, and NaN in a float column) are the empty cell."""
    return "" if value is None or value != value else str(value).strip()
