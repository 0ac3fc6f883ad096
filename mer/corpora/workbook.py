"""Cells of an Excel workbook (.xlsx) as text: the sheet called labels, or the first one.

Spreadsheets turn names into numbers: 0001 is stored as 1, and comes back as `1`. Whom that means is found by `near_names`.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from mer.errors import CorpusError

MAX_UNPACKED_BYTES = 1 << 30
"""Workbooks that unpack to more than 1 GiB are refused."""
_SHEET = "labels"


def workbook_rows(path: Path) -> tuple[list[list[str]], tuple[str, ...]]:
    """Rows of a workbook's sheet, and a note where it has several sheets.

    Raises:
        CorpusError: openpyxl is not installed, or it is no workbook.
    """
    try:
        import openpyxl
    except ImportError as error:
        raise CorpusError(
            f"{path.name}: expected openpyxl, which reads workbooks, found it not installed: pip install 'mer-pipeline[xlsx]', "
            "or save the table as CSV"
        ) from error
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(item.file_size for item in archive.infolist())
        if unpacked > MAX_UNPACKED_BYTES:
            raise CorpusError(f"{path.name} unpacks to {unpacked} bytes: a table of labels was expected")
        with closing(openpyxl.load_workbook(path, read_only=True, data_only=True)) as book:
            names = [sheet.title for sheet in book.worksheets]
            named = [sheet for sheet in book.worksheets if sheet.title.strip().lower() == _SHEET]
            sheet = (named or book.worksheets)[0]
            sheet.reset_dimensions()  # some writers state wrong ones, and rows would be cut off
            rows = [list(_texts(row)) for row in sheet.iter_rows(values_only=True)]
    except CorpusError:
        raise
    except Exception as error:  # a reader of foreign files: zip, XML, key and index errors alike
        raise CorpusError(
            f"{path.name} is no workbook that can be read ({type(error).__name__}: {error}): save it as .xlsx or CSV"
        ) from error
    note = f"{path.name}: sheet {sheet.title} is read, of {', '.join(names)}"
    width = max(map(len, rows), default=0)  # rows end with their last cell
    return [row + [""] * (width - len(row)) for row in rows], (note,) if len(names) > 1 else ()


def _texts(row: tuple[Any, ...]) -> Iterator[str]:
    for value in row:
        if value is None:
            yield ""
        elif isinstance(value, float) and value.is_integer():
            yield str(int(value))
        else:
            yield str(value)
