"""One npy file of precomputed features: read without trusting its header, pickles and archives refused."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from mer.errors import MediaError, QuarantineReason
from mer.npy_header import NpyHeader, read_npy_header
from mer.validation.magnitude import MAX_MAGNITUDE, first_unbearable, is_bearable

MAX_BYTES = 256 << 20
"""Largest feature file that is read."""

_SAMPLED = 33
"""Files with values whose headers decide what width a set's features have."""


def usual_width(folder: Path) -> int:
    """The width most of a folder's first files have; 1 for a folder without any."""
    if not folder.is_dir():
        return 1
    with os.scandir(folder) as items:  # as paths, 100,000 files would take seconds
        names = sorted(item.name for item in items)
    files = (folder / name for name in names if name.endswith(".npy"))
    faces = (
        path for name in names if not name.endswith(".npy") for path in sorted((folder / name).glob("*.npy"))
    )
    widths = Counter(_first_widths(files)) or Counter(_first_widths(faces))
    return max(widths, key=lambda width: (widths[width], -width)) if widths else 1


def read_features(path: Path) -> NDArray[np.float32]:
    """Read one feature file, float32 (T, D); a vector (D,) gives T = 1, an array without values (0, D).

    The header is read and believed only if the file has exactly the bytes it declares: nothing is allocated on its
    word, pickles and archives are never opened.

    Raises:
        MediaError: `bad_features`, saying what was expected and found.
    """
    try:
        with path.open("rb") as stream:
            header = _read_header(stream)
            if isinstance(header, str):
                raise bad_features(path.name, "an npy file of floats", header)
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise bad_features(path.name, "a readable file", str(error)) from error
    shape = _without_leading_ones(header.shape)
    if len(shape) not in {1, 2}:
        raise bad_features(path.name, "shape (features,) or (time, features)", str(header.shape))
    if len(raw) != header.size * header.dtype.itemsize or len(raw) > MAX_BYTES:
        actual = f"{len(raw)} bytes for shape {header.shape}"
        raise bad_features(
            path.name, f"{header.size * header.dtype.itemsize} bytes, at most {MAX_BYTES}", actual
        )
    if header.size == 0:
        return np.zeros((0, shape[-1]), dtype=np.float32)
    order: Literal["F", "C"] = "F" if header.fortran else "C"
    stored = np.frombuffer(raw, dtype=header.dtype).reshape(header.shape, order=order)
    with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite, and is refused below
        values = np.ascontiguousarray(np.atleast_2d(stored.reshape(shape)), dtype=np.float32)
    if not is_bearable(values).all():
        raise bad_features(path.name, f"values within {MAX_MAGNITUDE:g}", first_unbearable(values))
    return values


def _read_header(stream: BinaryIO) -> NpyHeader | str:
    """Header of an npy file of floats, or what was found instead."""
    try:
        header = read_npy_header(stream)
    except ValueError as error:
        return str(error)
    return header if header.dtype.kind == "f" else f"values of type {header.dtype}"


def _first_widths(paths: Iterable[Path]) -> Iterable[int]:
    known = (width for path in paths if (width := _width_in_header(path)) is not None)
    return islice(known, _SAMPLED)


def _width_in_header(path: Path) -> int | None:
    """Width a file declares; None for a file that is no float array, or has no width."""
    try:
        with path.open("rb") as stream:
            header = _read_header(stream)
    except OSError:
        return None
    return None if isinstance(header, str) or not header.shape else header.shape[-1] or None


def bad_features(name: str, expected: str, actual: str) -> MediaError:
    """The error of a clip's features that cannot be used."""
    return MediaError(QuarantineReason.BAD_FEATURES, f"{name}: expected {expected}, found {actual}")


def _without_leading_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(1, T, D) -> (T, D): some scripts keep the batch axis, and MERTools squeezes it away."""
    while len(shape) > 2 and shape[0] == 1:
        shape = shape[1:]
    return shape
