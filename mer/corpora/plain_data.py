"""Plain data in two files, as one process hands it to another: a tree as JSON, and the numbers of its arrays as they are.

Plain data are dict, list, tuple, str, bytes, float, int, bool, None, and numpy arrays and scalars. Nothing in the files is run,
and reading them allocates no more than they hold; arrays are mapped, not copied. An array that the tree holds in several places
is written once; a list that it holds in several places is written out each time, and that is limited: 30 lists of two can
stand for 2^30.
"""

from __future__ import annotations

import base64
import json
import mmap
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mer.errors import CorpusError

TREE, NUMBERS = "tree.json", "numbers.bin"
MAX_NODES = 5_000_000
"""Values in a tree: the largest label file known has 132,171 clips of six."""
MAX_DEPTH = 100
_ALIGNED = 64
_JSON_INTEGER = 1 << 63

Json = Any


def write_plain(value: Any, folder: Path) -> None:
    """Write plain data to the files of `folder`.

    Raises:
        CorpusError: something that is no plain data, too many values, or nested too deep (a list that holds itself).
        OSError: the files cannot be written.
    """
    with (folder / NUMBERS).open("wb") as numbers:
        tree = _Writer(numbers)
        node = tree.node(value, MAX_DEPTH)
        with (folder / TREE).open("w", encoding="ascii") as text:
            json.dump({"node": node, "arrays": tree.arrays}, text)


def read_plain(folder: Path) -> Any:
    """Read what `write_plain` wrote; arrays can be written to, which changes no file.

    Raises:
        CorpusError: the files are of another form.
    """
    try:
        record = json.loads((folder / TREE).read_text(encoding="ascii"))
        numbers = _mapped(folder / NUMBERS)
        arrays = [_array(numbers, *entry) for entry in record["arrays"]]
        return _value(record["node"], arrays, MAX_DEPTH)
    except (ValueError, TypeError, LookupError, RecursionError, OverflowError) as error:
        raise CorpusError(
            f"the reading process gave no plain data ({type(error).__name__}: {error})"
        ) from error


class _Writer:
    def __init__(self, numbers: BinaryIO) -> None:
        self.arrays: list[tuple[str, tuple[int, ...], int]] = []
        self._numbers = numbers
        self._written: dict[int, int] = {}
        self._nodes = 0

    def node(self, value: Any, depth: int) -> Json:
        """JSON of a value: objects stand for what JSON lacks, with one letter for what they are."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise CorpusError(f"holds more than {MAX_NODES} values, written out: refused")
        if depth < 0:
            raise CorpusError(f"is nested deeper than {MAX_DEPTH}: refused")
        if value is None or (isinstance(value, bool | str) and type(value) in (bool, str)):
            return value
        if type(value) is float:
            return value
        if type(value) is int:
            return value if abs(value) < _JSON_INTEGER else {"i": hex(value)}
        if type(value) in (bytes, bytearray):
            return {"b" if type(value) is bytes else "m": base64.b64encode(value).decode("ascii")}
        if type(value) is list:
            return [self.node(item, depth - 1) for item in value]
        if type(value) is tuple:
            return {"t": [self.node(item, depth - 1) for item in value]}
        if type(value) is dict:
            return {"d": [self.node(item, depth - 1) for pair in value.items() for item in pair]}
        if isinstance(value, np.ndarray | np.generic):
            return self._numpy(value, depth)
        raise CorpusError(
            f"holds a {type(value).__name__}: expected containers, text, numbers and numpy arrays only"
        )

    def _numpy(self, value: Any, depth: int) -> Json:
        if value.dtype.hasobject:
            items = [self.node(item, depth - 1) for item in np.asarray(value).reshape(-1).tolist()]
            return {"o": list(value.shape), "v": items}
        if isinstance(value, np.generic):
            return {"s": self._stored(np.asarray(value))}
        if id(value) not in self._written:
            self._written[id(value)] = self._stored(np.asarray(value))
        return {"a": self._written[id(value)]}

    def _stored(self, array: np.ndarray[Any, Any]) -> int:
        at = self._numbers.tell()
        self._numbers.write(b"\0" * (-at % _ALIGNED))
        self.arrays.append((array.dtype.str, array.shape, self._numbers.tell()))
        self._numbers.write(
            np.ascontiguousarray(array).reshape(-1).view(np.uint8).data if array.nbytes else b""
        )
        return len(self.arrays) - 1


def _mapped(path: Path) -> memoryview:
    with path.open("rb") as file:
        if not path.stat().st_size:
            return memoryview(b"")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))


def _array(numbers: memoryview, dtype: str, shape: list[int], at: int) -> np.ndarray[Any, Any]:
    kind = np.dtype(dtype)
    if kind.hasobject or any(type(size) is not int or size < 0 for size in [*shape, at]):
        raise ValueError(f"an array of type {dtype}, shape {shape}")
    count = int(np.prod(shape, dtype=object)) if shape else 1
    if not count or not kind.itemsize:
        return np.zeros(shape, kind)
    return np.frombuffer(numbers, kind, count, at).reshape(shape)


def _value(node: Json, arrays: list[np.ndarray[Any, Any]], depth: int) -> Any:
    if depth < 0:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    if isinstance(node, list):
        return [_value(item, arrays, depth - 1) for item in node]
    if not isinstance(node, dict):
        return node
    (letter, content), *more = node.items()
    if letter == "d":
        items = [_value(item, arrays, depth - 1) for item in content]
        return dict(zip(items[::2], items[1::2], strict=True))
    if letter == "t":
        return tuple(_value(item, arrays, depth - 1) for item in content)
    if letter == "i":
        return int(content, 16)
    if letter in ("b", "m"):
        raw = base64.b64decode(content, validate=True)
        return raw if letter == "b" else bytearray(raw)
    if letter == "a":
        return arrays[content]
    if letter == "s":
        return arrays[content][()]
    if letter == "o":
        held = np.empty(len(more[0][1]), dtype=object)
        for place, item in enumerate(more[0][1]):
            held[place] = _value(item, arrays, depth - 1)
        return held.reshape(content)
    raise ValueError(f"an unknown kind of value {letter!r}")
