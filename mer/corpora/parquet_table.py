"""Cells of a Parquet table as text."""

from __future__ import annotations

from pathlib import Path

from mer.errors import CorpusError


def parquet_columns(path: Path) -> tuple[list[str], list[list[str]]]:
    """Names of the columns, and the values of each.

    Raises:
        CorpusError: it is no Parquet table.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            table = file.read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise CorpusError(f"{path.name} is not a Parquet table: {error}") from error
    return list(map(str, table.column_names)), [
        [_as_text(value) for value in column.to_pylist()] for column in table.columns
    ]


def _as_text(value: object) -> str:
    """Parquet's ways of saying "nothing here" (null, and NaN in a float column) are the empty cell."""
    return "" if value is None or value != value else str(value).strip()
