"""The header of an npy file, read without trusting it.

numpy parses headers as Python source: beside ValueError, a damaged one makes it raise errors of the parser and the tokeniser.
"""

from __future__ import annotations

import math
import tokenize
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

_DAMAGED = (
    EOFError, SyntaxError, tokenize.TokenError, TypeError, LookupError, OverflowError, RecursionError, MemoryError,
)  # fmt: skip


@dataclass(frozen=True)
class NpyHeader:
    """What an npy file says it holds."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """Values."""
        return math.prod(self.shape)


def read_npy_header(stream: BinaryIO) -> NpyHeader:
    """Read the header; the stream is then at the first value.

    Raises:
        ValueError: no npy file of version 1 or 2, or a header that says nothing sound; the message is one line.
    """
    try:
        version = npy.read_magic(stream)
        if version not in {(1, 0), (2, 0)}:
            raise ValueError(f"npy version {version}")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    except (
        EOFError,
        SyntaxError,
        tokenize.TokenError,
        TypeError,
        LookupError,
        OverflowError,
        RecursionError,
        MemoryError,
    ) as error:
        raise ValueError(f"a damaged npy header ({type(error).__name__}: {_line(error)})") from error
    except ValueError as error:
        raise ValueError(_line(error)) from error
    if any(type(size) is not int or size < 0 for size in shape):
        raise ValueError(f"an npy header with shape {str(shape)[:80]}")
    return NpyHeader(shape, bool(fortran), dtype)


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200]
