"""Anything that holds numbers -> NumPy arrays: NumPy, torch, pandas, lists; whatever else says what was expected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError


def plain_array(name: str, values: Any) -> NDArray[Any]:
    """The values as a NumPy array of whatever type and shape they have.

    Args:
        name: what the values are, for messages.
        values: anything with `__array__`, or nested lists; torch tensors of any device and with gradients too.

    Raises:
        ConfigError: nothing that becomes an array: sparse matrices, lists of unequal lengths.
    """
    if hasattr(values, "detach") and hasattr(values, "cpu"):  # a torch tensor
        values = values.detach().cpu()
        if not _has_numpy_type(values):  # bfloat16
            values = values.float()
    if isinstance(values, np.ma.MaskedArray):
        values = (
            np.ma.filled(values.astype(np.float64), np.nan)
            if values.dtype.kind in "fiub"
            else values.filled()
        )
    # NumPy would write a list of numbers and strings as strings
    has_text = isinstance(values, (list, tuple)) and any(isinstance(value, str) for value in values)
    try:
        array = np.asarray(values, dtype=object if has_text else None)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{name}: expected an array, found {described(values)} ({error})") from error
    if array.ndim == 0:
        hint = ": make it dense first (`.toarray()`)" if hasattr(values, "toarray") else ""
        raise ConfigError(f"{name}: expected an array, found {described(values)}{hint}")
    return array


def number_array(name: str, values: Any) -> NDArray[np.float32]:
    """The values as float32; None and pandas' missing values are NaN.

    Raises:
        ConfigError: values that are no real numbers, or too large for float32.
    """
    array = plain_array(name, values)
    if array.dtype.kind == "O":
        array = np.array([_number(name, value) for value in array.ravel()], dtype=np.float64).reshape(
            array.shape
        )
    if array.dtype.kind not in "fiub":
        raise ConfigError(
            f"{name}: expected real numbers, found values of type {array.dtype}, first {array.item(0)!r}"
        )
    with np.errstate(over="ignore"):
        numbers = array.astype(np.float32)
    if too_large := int((np.isinf(numbers) & np.isfinite(array.astype(np.float64))).sum()):
        raise ConfigError(f"{name}: expected numbers within float32, found {too_large} beyond 3.4e38")
    return numbers


def column(name: str, values: Any, clips: int) -> NDArray[Any]:
    """(N,) one value per clip, of any type; a table of one column counts as that column.

    Raises:
        ConfigError: another shape, or another number of clips.
    """
    array = plain_array(name, values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ConfigError(f"{name}: expected one value per clip, shape ({clips},), found shape {array.shape}")
    if len(array) != clips:
        raise ConfigError(f"{name}: expected {clips} values, one per clip, found {len(array)}")
    return array


def is_missing(value: object) -> bool:
    """Whether a value says that there is none: None, NaN, pandas' NA and NaT, blank text."""
    if value is None or type(value).__name__ in {"NAType", "NaTType"}:
        return True
    if isinstance(value, str):
        return not value.strip()
    return isinstance(value, (float, np.floating)) and bool(np.isnan(value))


def same_index(tables: Sequence[tuple[str, Any]]) -> None:
    """Refuse pandas objects whose rows are the same ones in another order: rows are matched by position, not by index.

    Raises:
        ConfigError: names the two.
    """
    indexed = [
        (name, table.index) for name, table in tables if hasattr(getattr(table, "index", None), "equals")
    ]
    for name, index in indexed[1:]:
        first_name, first = indexed[0]
        if len(index) == len(first) and not index.equals(first) and set(index) == set(first):
            raise ConfigError(
                f"{name}: expected rows in the order of {first_name}, found the same index in another order; rows are "
                f"matched by position, so reorder them: {name}.loc[{first_name}.index]"
            )


def described(values: Any) -> str:
    """What a value is, in a few words for messages."""
    shape = getattr(values, "shape", None)
    if isinstance(shape, tuple):
        return f"{type(values).__name__} of shape {tuple(int(size) for size in shape)}"
    if isinstance(values, (list, tuple)):
        return f"a {type(values).__name__} of {len(values)}"
    return f"{type(values).__name__} {str(values)[:60]!r}"


def _has_numpy_type(tensor: Any) -> bool:
    try:
        tensor.numpy()
    except TypeError:
        return False
    return True


def _number(name: str, value: object) -> float:
    if is_missing(value):
        return float("nan")
    if isinstance(value, (bool, int, float, np.number)) and not isinstance(value, np.complexfloating):
        return float(value)
    raise ConfigError(f"{name}: expected real numbers, found {type(value).__name__} {str(value)[:60]!r}")
