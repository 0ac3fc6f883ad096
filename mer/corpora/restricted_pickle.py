"""The one place that reads pickles: label files and feature files of other toolkits hold them.

A pickle is a program. This reader runs only the instructions that build containers, text, numbers and numpy
arrays, and stands its own functions in for the five names of numpy that such files call. Nothing is imported
on a file's word; a file that asks for anything else is refused, and the error says for what.

Python's own unpickler (not the C one) is the base: its instruction table can be cut down to an allow list, and
a lying memo index costs it nothing. What a length in the file says is never taken before the file is known to be as long.

Corpora read such files through `contained_reader`, in a process that has limited time and memory: keys that collide, and
arrays that are only referred to again and again, cannot be told from good data by looking at single instructions.
"""

from __future__ import annotations

import io
import lzma
import pickle  # noqa: TID251  (the restricted reader of the house rules)
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mer.corpora.pickled_arrays import STAND_INS
from mer.errors import CorpusError
from mer.npy_header import read_npy_header

MAX_NPZ_BYTES = 256 << 20
"""Largest label file, unpacked: the largest known one, 132,171 clips, takes about 10 MiB."""
MAX_PICKLE_BYTES = 64 << 30
"""Largest pickle of features."""
MAX_INSTRUCTIONS = 10_000_000
"""Instructions of one pickle: each may make an object, so this bounds memory beside the arrays."""

_DAMAGED_ARCHIVE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, NotImplementedError, RuntimeError, OSError,
    EOFError, ValueError, LookupError,
)  # fmt: skip
_EXPECTED = "expected containers, text, numbers and numpy arrays only"


def read_pickle(path: Path) -> Any:
    """Read a pickle of plain data.

    Returns:
        dict, list, tuple, str, bytes, float, int, bool, None, numpy scalars and arrays of these.

    Raises:
        CorpusError: too large, damaged, or it asks for anything else (named in the message); nothing of it was run.
    """
    size = path.stat().st_size
    if size > MAX_PICKLE_BYTES:
        raise CorpusError(f"{path.name} has {size} bytes: at most {MAX_PICKLE_BYTES} are read")
    with path.open("rb") as stream:
        return _load(stream, path.name)


def read_npz(path: Path) -> dict[str, Any]:
    """Read all members of an npz file; pickled 0-d object arrays give the object they hold.

    Raises:
        CorpusError: no npz file, too large, or a member that `read_pickle` would refuse.
    """
    arrays: dict[str, Any] = {}
    left = MAX_NPZ_BYTES
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                with archive.open(info) as member:
                    raw = member.read(left + 1)  # the size in the archive's index may lie
                left -= len(raw)
                if left < 0:
                    raise CorpusError(f"{path.name} unpacks to more than {MAX_NPZ_BYTES} bytes: refused")
                name = info.filename.removesuffix(".npy")
                arrays[name] = _read_npy(io.BytesIO(raw), f"{path.name}[{name}]")
    except _DAMAGED_ARCHIVE as error:
        raise CorpusError(f"{path.name}: expected an npz file: {error}") from error
    return arrays


def npz_members(path: Path) -> tuple[str, ...]:
    """Names of the arrays in an npz file, without reading them; none for a file that is no npz file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return tuple(name.removesuffix(".npy") for name in archive.namelist())
    except _DAMAGED_ARCHIVE:
        return ()


def _read_npy(stream: BinaryIO, name: str) -> Any:
    try:
        header = read_npy_header(stream)
    except ValueError as error:
        raise CorpusError(f"{name}: expected an npy array: {error}") from error
    shape, dtype = header.shape, header.dtype
    if dtype.hasobject:
        held = _load(stream, name)
        return held.item() if isinstance(held, np.ndarray) and shape == () and held.shape == () else held
    raw = stream.read()
    if len(raw) != header.size * dtype.itemsize:  # before anything is allocated on the header's word
        raise CorpusError(f"{name}: expected {header.size * dtype.itemsize} bytes, found {len(raw)}")
    return np.frombuffer(raw, dtype=dtype).reshape(shape, order="F" if header.fortran else "C")


def _load(stream: BinaryIO, name: str) -> Any:
    with _refusals(name):
        return _RestrictedUnpickler(stream).load()


@contextmanager
def _refusals(name: str) -> Iterator[None]:
    try:
        yield
    except _Refused as refused:
        raise CorpusError(
            f"{name} is refused: its pickle asks for {refused}; {_EXPECTED}. If it is yours, save it again "
            "as a dict of these; if it came from elsewhere, do not open it with other tools"
        ) from refused
    except (
        pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, LookupError, OverflowError,
        ImportError, MemoryError, AssertionError, RecursionError,
    ) as error:  # fmt: skip
        raise CorpusError(
            f"{name}: a damaged pickle ({type(error).__name__}: {error}); {_EXPECTED}"
        ) from error


class _Refused(Exception):
    """A global name that a pickle asked for and that is refused."""


class _StandIn:
    """A name of numpy inside a pickle: may be called by the pickle, and changed by nothing."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise _Refused("a change of one of numpy's functions")


_ALLOWED = (
    # stack, memo, framing
    "PROTO FRAME STOP MARK POP POP_MARK DUP PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET "
    # numbers and text
    "NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT "
    "STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 "
    "BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 "
    # containers
    "EMPTY_LIST LIST APPEND APPENDS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT DICT SETITEM SETITEMS "
    # arrays: names are looked up in STAND_INS only
    "GLOBAL STACK_GLOBAL REDUCE BUILD"
)
_CODES = frozenset(getattr(pickle, name)[0] for name in _ALLOWED.split())


class _Instructions(dict[int, Callable[[Any], None]]):
    """The unpickler's instruction table, cut down and counted."""

    def __init__(self) -> None:
        known = pickle._Unpickler.dispatch
        super().__init__({code: known[code] for code in _CODES} | {pickle.BYTEARRAY8[0]: _load_bytearray})
        self._left = MAX_INSTRUCTIONS

    def __getitem__(self, code: int) -> Callable[[Any], None]:
        self._left -= 1
        if self._left < 0:
            raise _Refused(f"more than {MAX_INSTRUCTIONS} instructions")
        return super().__getitem__(code)

    def __missing__(self, code: int) -> Callable[[Any], None]:
        names = [name for name, value in vars(pickle).items() if name.isupper() and value == bytes([code])]
        raise _Refused(f"the instruction {names[0] if names else hex(code)}")


def _load_bytearray(unpickler: Any) -> None:
    """Python's own makes the array by the length that the file states, and reads then."""
    (length,) = struct.unpack("<Q", unpickler.read(8))
    unpickler.append(bytearray(unpickler.read(length)))


class _Bounded:
    """A stream that is asked for no more bytes than it has left: a buffered file makes room for all that it is asked for."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        at = stream.tell()
        self._left = stream.seek(0, io.SEEK_END) - at
        stream.seek(at)

    def read(self, size: int) -> bytes:
        if size < 0 or size > self._left:
            raise EOFError(f"{size} bytes announced, {self._left} are left")
        self._left -= size
        return self._stream.read(size)

    def readline(self) -> bytes:
        line = self._stream.readline()
        self._left -= len(line)
        return line


class _RestrictedUnpickler(pickle._Unpickler):
    """Python's unpickler without the means to reach anything outside the file."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(
            _Bounded(stream), encoding="latin1"
        )  # what toolkits of the field give for Python 2 files
        self.dispatch = _Instructions()  # type: ignore[misc]  # per instance: the count is per file

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a name, whatever the installed numpy calls its modules."""
        call = STAND_INS.get((module, name))
        if call is None:
            raise _Refused(f"{module}.{name}")
        return _StandIn(call)

    def persistent_load(self, pid: Any) -> Any:
        """No object lies outside the file."""
        raise _Refused("an object outside the file")
