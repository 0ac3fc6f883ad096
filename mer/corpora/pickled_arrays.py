"""numpy's arrays, scalars and types as pickles spell them, built from checked parts.

numpy's own `__setstate__` methods trust their input (a type's flags decide whether bytes are read as pointers),
so a pickle never reaches them unchecked: types are placeholders until the array is made, and an array is made
only of as many bytes as it has.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

_TYPE = re.compile(r"\|?(?P<kind>[biufSUO])(?P<bytes>\d{1,9})?|\?")
_LETTERS = frozenset("?bBhHiIlLqQefdg")


class PickledDtype:
    """A type named in a pickle; `value` is numpy's."""

    def __init__(self, name: Any, align: Any = False, copy: Any = False) -> None:
        text = name.decode("latin1") if isinstance(name, bytes) else name
        if not isinstance(text, str) or not (_TYPE.fullmatch(text) or text in _LETTERS):
            raise ValueError(f"expected numbers, text or objects, found an array of type {text!r}")
        self.value: np.dtype[Any] = np.dtype(text)

    def __setstate__(self, state: Any) -> None:
        order = state[1].decode("latin1") if isinstance(state[1], bytes) else state[1]
        structured = any(field is not None for field in state[2:5])
        if order not in {"<", ">", "|", "="} or structured:
            raise ValueError("expected a plain type, found a structured one")
        if order == ">":
            self.value = self.value.newbyteorder(">")
        elif order == "<":
            self.value = self.value.newbyteorder("<")


class PickledArray(np.ndarray[Any, Any]):
    """An array under construction in a pickle; an ordinary array in all other ways."""

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, column_major, raw = state if len(state) == 5 else (0, *state)
        checked = (1, _shape(shape), _dtype(dtype), bool(column_major), _content(shape, dtype, raw))
        super().__setstate__(checked)  # type: ignore[arg-type]  # the stub says numpy.bool


def _array(subtype: Any, shape: Any, _letter: Any) -> PickledArray:
    if shape != (0,):
        raise ValueError(f"expected an array that is filled afterwards, found shape {shape}")
    return np.ndarray.__new__(PickledArray, (0,), np.int8)


def _scalar(dtype: Any, raw: Any = None) -> Any:
    content = _content((), dtype, raw)
    if isinstance(content, list):
        raise ValueError("expected a number or text, found a scalar object")
    return np.frombuffer(content, dtype=_dtype(dtype))[0]


def _from_buffer(raw: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray[Any, Any]:
    content = _content(shape, dtype, raw)
    if isinstance(content, list) or order not in {"C", "F"}:
        raise ValueError("expected a buffer of numbers or text")
    return np.frombuffer(content, dtype=_dtype(dtype)).reshape(_shape(shape), order=order)


def _content(shape: Any, dtype: Any, raw: Any) -> bytes | list[Any]:
    """The array's content if it has exactly the size that shape and type declare."""
    count = math.prod(_shape(shape))
    if _dtype(dtype).hasobject:
        if not isinstance(raw, list) or len(raw) != count:
            raise ValueError(f"expected a list of {count} objects")
        return raw
    content = raw.encode("latin1") if isinstance(raw, str) else raw
    if not isinstance(content, bytes | bytearray) or len(content) != count * _dtype(dtype).itemsize:
        raise ValueError(f"expected {count * _dtype(dtype).itemsize} bytes of {_dtype(dtype)}")
    _check_text(content, _dtype(dtype))
    return bytes(content)


def _check_text(content: bytes | bytearray, dtype: np.dtype[Any]) -> None:
    """numpy takes any 32 bits for a character, and fails in C when it is read."""
    if dtype.kind == "U" and content:
        characters = np.frombuffer(content, dtype=np.dtype(np.uint32).newbyteorder(dtype.byteorder))
        if characters.max() > sys.maxunicode:
            raise ValueError("expected text, found characters beyond Unicode")


def _shape(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, tuple) or not all(isinstance(size, int) and size >= 0 for size in shape):
        raise ValueError(f"expected a shape, found {shape!r}")
    return shape


def _dtype(dtype: Any) -> np.dtype[Any]:
    if not isinstance(dtype, PickledDtype):
        raise TypeError(f"expected numpy's type, found {type(dtype).__name__}")
    return dtype.value


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """`_codecs.encode` as protocol 2 writes bytes."""
    if not isinstance(text, str) or encoding not in {"latin1", "latin-1"}:
        raise ValueError("expected bytes spelt as latin-1 text")
    return text.encode("latin1")


def _empty_bytes(*arguments: Any) -> bytes:
    """`bytes()` as protocol 2 writes empty bytes."""
    if arguments:
        raise ValueError("expected bytes without arguments")
    return b""


def _not_callable(*_: Any) -> Any:
    raise TypeError("numpy.ndarray is named in pickles, but never called")


STAND_INS: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): PickledDtype,
    ("numpy", "ndarray"): _not_callable,
    ("_codecs", "encode"): _encode,
    ("builtins", "bytes"): _empty_bytes,
    ("__builtin__", "bytes"): _empty_bytes,
} | {
    (f"numpy.{core}.{module}", name): call
    for core in ("core", "_core")  # numpy 1 and numpy 2
    for module, name, call in (
        ("multiarray", "_reconstruct", _array),
        ("multiarray", "scalar", _scalar),
        ("numeric", "_frombuffer", _from_buffer),
    )
}
"""Names a pickle may use, and what they stand for here."""
