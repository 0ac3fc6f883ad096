"""Precomputed features: `<corpus root>/features/<name>/<clip>.npy`, UTT (D,) or FRA (T, D), as MERTools
writes them.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mer.clips import Clip
from mer.errors import MediaError, QuarantineReason
from mer.features.clip_feature import ClipFeature, masked
from mer.features.spec import FILES_PREFIX, FeatureSpec

MAX_BYTES = 256 << 20
"""Largest feature file that is read."""

_SAMPLED = 33
"""Files whose headers decide what width the folder's features have."""

NO_FILE = "no_feature_file"


class PrecomputedExtractor:
    """Reads and checks feature files; the width most of a folder's first files have is the expected one."""

    def __init__(self, spec: FeatureSpec) -> None:
        self.spec = spec
        self._widths: dict[Path, int] = {}
        self._width = 1  # until a folder has been seen

    def extract(self, clip: Clip) -> ClipFeature:
        """Read one file; absent without a file.

        Raises:
            MediaError: `bad_features` for a file that is no npy array of finite floats of the folder's width,
                `unsafe_name` for a name that leaves the folder.
        """
        folder = clip.corpus_root / "features" / self.spec.source.removeprefix(FILES_PREFIX)
        path = folder / f"{clip.name}.npy"
        if path.parent != folder or clip.name in {"", ".", ".."} or "\0" in clip.name:
            raise MediaError(QuarantineReason.UNSAFE_NAME, f"clip name {clip.name!r} is no plain file name")
        self._width = self._expected_width(folder)
        if not path.is_file():
            return self.absent(NO_FILE)
        values = read_features(path)
        if values.shape[1] != self._width:
            raise _bad(path, f"{self._width} features as in the folder's other files", f"{values.shape[1]}")
        return ClipFeature(self._pool(values), present=True)

    def absent(self, *flags: str) -> ClipFeature:
        """Zeros of the width of the folder last seen."""
        return masked(self._pool(np.zeros((1, self._width), dtype=np.float32)), flags)

    def _pool(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """(T, D) -> (T, D), (1, D) or (1, 2 * D)."""
        if self.spec.pooling == "frames":
            return values
        mean: NDArray[np.float32] = values.mean(axis=0, keepdims=True)
        if self.spec.pooling == "mean":
            return mean
        return np.concatenate([mean, values.std(axis=0, keepdims=True)], axis=1)

    def _expected_width(self, folder: Path) -> int:
        if folder not in self._widths:
            first = islice(sorted(folder.glob("*.npy")), _SAMPLED)
            widths = Counter(width for path in first if (width := _width_in_header(path)) is not None)
            self._widths[folder] = max(widths, key=lambda width: (widths[width], -width)) if widths else 1
        return self._widths[folder]


def read_features(path: Path) -> NDArray[np.float32]:
    """Read one feature file, float32 (T, D); a vector (D,) gives T = 1.

    The header is read and believed only if the file has exactly the bytes it declares: nothing is allocated on its
    word, pickles and archives are never opened.

    Raises:
        MediaError: `bad_features`, saying what was expected and found.
    """
    try:
        with path.open("rb") as stream:
            header = _read_header(stream)
            if isinstance(header, str):
                raise _bad(path, "an npy file of floats", header)
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise _bad(path, "a readable file", str(error)) from error
    if len(header.shape) not in {1, 2} or header.size == 0:
        raise _bad(path, "shape (features,) or (time, features)", str(header.shape))
    if len(raw) != header.size * header.dtype.itemsize or len(raw) > MAX_BYTES:
        found = f"{len(raw)} bytes for shape {header.shape}"
        raise _bad(path, f"{header.size * header.dtype.itemsize} bytes, at most {MAX_BYTES}", found)
    order: Literal["F", "C"] = "F" if header.fortran else "C"
    stored = np.frombuffer(raw, dtype=header.dtype).reshape(header.shape, order=order)
    with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite, and is refused below
        values = np.ascontiguousarray(np.atleast_2d(stored), dtype=np.float32)
    if not np.isfinite(values).all():
        raise _bad(path, "finite values", "NaN or infinity")
    return values


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        return math.prod(self.shape)


def _read_header(stream: BinaryIO) -> _Header | str:
    """Header of an npy file of floats, or what was found instead."""
    try:
        version = npy.read_magic(stream)
        if version not in {(1, 0), (2, 0)}:
            return f"npy version {version}"
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    except (ValueError, EOFError) as error:
        return str(error)
    return _Header(shape, fortran, dtype) if dtype.kind == "f" else f"values of type {dtype}"


def _width_in_header(path: Path) -> int | None:
    """Width a file declares; None for a file that is no float array."""
    try:
        with path.open("rb") as stream:
            header = _read_header(stream)
    except OSError:
        return None
    return None if isinstance(header, str) or not header.shape else header.shape[-1]


def _bad(path: Path, expected: str, found: str) -> MediaError:
    return MediaError(QuarantineReason.BAD_FEATURES, f"{path.name}: expected {expected}, found {found}")
