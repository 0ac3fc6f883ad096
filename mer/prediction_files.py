"""Files of predictions: the table, JSON and JSON lines, each written and read back."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mer.errors import ConfigError
from mer.predictions import Prediction
from mer.whole_files import write_whole

TABLE_COLUMNS = ("name", "path", "status", "discrete", "confidence", "valence")
"""Columns of the table before those of the classes, in order."""
TABLE_COLUMNS_AFTER = ("modalities", "flags", "model", "version")
"""Columns of the table after those of the classes, in order."""
SET_COLUMN = "prediction_set"
"""Last column of tables of which a coverage was asked."""
PROBABILITY_COLUMN = "p_"
"""Start of the name of a class's column."""
_DIGITS = 6
_FORMULA = "=+-@\t\r'"

_LIST = TypeAdapter(list[Prediction])


def json_text(predictions: Sequence[Prediction], classes: Sequence[str] = ()) -> str:
    """Predictions as a JSON array of objects."""
    return _LIST.dump_json(list(predictions), indent=1).decode("utf-8") + "\n"


def json_lines(predictions: Sequence[Prediction], classes: Sequence[str] = ()) -> str:
    """Predictions as JSON objects, one a line."""
    return "".join(prediction.model_dump_json() + "\n" for prediction in predictions)


def table_text(predictions: Sequence[Prediction], classes: Sequence[str]) -> str:
    """Predictions as CSV text, numbers with 6 digits after the point; lists are separated by spaces.

    Args:
        predictions: one row each.
        classes: class names in order: their columns are there whether or not any clip was answered.
    """
    sets = (SET_COLUMN,) if any(row.prediction_set for row in predictions) else ()
    header = (
        *TABLE_COLUMNS,
        *(f"{PROBABILITY_COLUMN}{name}" for name in classes),
        *TABLE_COLUMNS_AFTER,
        *sets,
    )
    lines = [",".join(map(_field, header))]
    for row in predictions:
        shares = (row.probabilities.get(name) for name in classes)
        before = (row.name, row.path, str(row.status), row.discrete or "")
        numbers = (row.confidence, row.valence, *shares)
        version = "" if row.version is None else str(row.version)
        held = (" ".join(row.prediction_set),) if sets else ()
        after = (" ".join(row.modalities), " ".join(row.flags), row.model, version, *held)
        lines.append(",".join([*map(_field, before), *map(_number, numbers), *map(_field, after)]))
    return "\n".join(lines) + "\n"


def from_table(text: str) -> list[Prediction]:
    """Read back what `table_text` wrote.

    Raises:
        ConfigError: other columns, or a row that is no prediction.
    """
    try:
        return _rows_of(csv.DictReader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise ConfigError(f"table of predictions: {error}") from error


def _rows_of(rows: csv.DictReader[str]) -> list[Prediction]:
    columns = tuple(rows.fieldnames or ())
    after = TABLE_COLUMNS_AFTER + ((SET_COLUMN,) if columns[-1:] == (SET_COLUMN,) else ())
    classes = columns[len(TABLE_COLUMNS) : -len(after)]
    expected = (*TABLE_COLUMNS, *classes, *after)
    if columns != expected or not all(name.startswith(PROBABILITY_COLUMN) for name in classes):
        raise ConfigError(
            f"table of predictions: expected the columns {', '.join(TABLE_COLUMNS)}, {PROBABILITY_COLUMN}CLASS ..., "
            f"{', '.join(TABLE_COLUMNS_AFTER)}, found {', '.join(columns) or 'none'}"
        )
    predictions = []
    for number, row in enumerate(rows, 1):
        if None in row or None in row.values():
            raise ConfigError(
                f"table of predictions, row {number}: expected {len(columns)} cells, found {row}"
            )
        with _read_at(f"row {number}"):
            predictions.append(_of_row(row, classes))
    return predictions


def from_json(text: str) -> list[Prediction]:
    """Read back what `json_text` wrote. Raises ConfigError for anything else."""
    with _read_at("JSON"):
        return _LIST.validate_json(text)


def from_json_lines(text: str) -> list[Prediction]:
    """Read back what `json_lines` wrote. Raises ConfigError for anything else."""
    predictions = []
    for number, line in enumerate(text.split("\n"), 1):
        if line:
            with _read_at(f"line {number}"):
                predictions.append(Prediction.model_validate_json(line))
    return predictions


@dataclass(frozen=True)
class View:
    """How predictions are written to a file, and read back."""

    text: Callable[[Sequence[Prediction], Sequence[str]], str]
    """Of predictions and the class names in order."""
    read: Callable[[str], list[Prediction]]


VIEWS: Mapping[str, View] = MappingProxyType(
    {
        ".csv": View(table_text, from_table),
        ".json": View(json_text, from_json),
        ".jsonl": View(json_lines, from_json_lines),
    }
)
"""Suffix of a file -> the view it holds."""


def view_of(path: Path) -> View:
    """The view that a file of this name holds.

    Raises:
        ConfigError: a suffix of none.
    """
    if (view := VIEWS.get(path.suffix.lower())) is None:
        raise ConfigError(f"predictions: expected a file named *.csv, *.json or *.jsonl, found {path.name!r}")
    return view


def write_predictions(path: Path, predictions: Sequence[Prediction], classes: Sequence[str]) -> None:
    """Write predictions as the view that the file's suffix names; `classes` are the class names in order.

    Raises:
        ConfigError: a suffix of no view.
        DiskFull, WriteFailed: it cannot be written; a file that was there before is unchanged.
    """
    data = view_of(path).text(predictions, classes).encode()
    write_whole(path, data, sweep=True)


def read_predictions(path: str | Path) -> list[Prediction]:
    """Read predictions back; those of a table have 6 digits after the point.

    Raises:
        ConfigError: no such file, a suffix of no view, or a file that is not what `write_predictions` wrote.
    """
    path = Path(path)
    view = view_of(path)
    if not path.is_file():
        raise ConfigError(f"predictions: expected a file, found none at {path}")
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"predictions: expected what `mer predict` writes, found no UTF-8 in {path.name} (byte {error.start})"
        ) from error
    return view.read(text)


def _of_row(row: Mapping[str, str], classes: Sequence[str]) -> Prediction:
    cells = {name: _unsafe(cell) for name, cell in row.items()}
    shares = {name.removeprefix(PROBABILITY_COLUMN): cells[name] for name in classes}
    values: dict[str, Any] = {name: cells[name] for name in ("name", "path", "status", "model")}
    for name in ("discrete", "confidence", "valence", "version"):
        values[name] = cells[name] or None
    values |= {name: tuple(cells.get(name, "").split()) for name in ("modalities", "flags", SET_COLUMN)}
    values["probabilities"] = {name: share for name, share in shares.items() if share}
    return Prediction.model_validate(values)


@contextmanager
def _read_at(where: str) -> Iterator[None]:
    """Errors of reading as ours."""
    try:
        yield
    except ValidationError as error:
        raise ConfigError(
            f"predictions: expected what `mer predict` writes, found at {where}: {error}"
        ) from error


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.{_DIGITS}f}"


def spreadsheet_safe(text: str) -> str:
    """The text of a cell, marked by an apostrophe where a spreadsheet would compute it, or where it begins with one itself."""
    # A name that starts like a formula must not run when the file is opened in a spreadsheet. One that starts with the mark that
    # prevents it gets the mark as well, so that reading takes off exactly what writing put on.
    return f"'{text}" if text[:1] in _FORMULA and text else text


def _field(text: str) -> str:
    safe = spreadsheet_safe(text)
    return f'"{safe.replace(chr(34), chr(34) * 2)}"' if any(c in safe for c in ',"\n\r') else safe


def _unsafe(text: str) -> str:
    return text[1:] if text[:1] == "'" else text
