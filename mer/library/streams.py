"""Features as a caller has them -> the tables of streams a fusion reads.

    {"acoustic": (N, 512), "visual": [(T_0, 64), None, (T_2, 64), ...]}      a mapping of streams, all of the same N clips
    (N, 512)                                                                 one stream, which is called `features`

A stream is an array or DataFrame (N, D) with one vector a clip, or a list of N arrays (T_i, D) with one vector a frame. A clip
lacks a stream where its row is NaN throughout, or its item of the list is None, has no frame, or nothing but frames of NaN.
Single frames of NaN (no face found) are left out. Streams of one modality are called `<modality>/<set>`, such as `acoustic` and
`acoustic/adapted`: models that weigh modalities first read the name that way (`mer.fusion.model`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError
from mer.library.arrays import number_array, same_index
from mer.library.extracted import ClipFeatures
from mer.stream_tables import RESERVED_STREAM_NAMES, FeatureTable, RaggedTable, StreamTable

SINGLE = "features"
"""Name of the stream of a caller who gives one array."""

_NAME = re.compile(r"[A-Za-z0-9+-][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)?")


def stream_tables(features: Any, single: str = SINGLE) -> dict[str, StreamTable]:
    """Tables of N clips, which are called by their row number.

    Args:
        features: see the module's docstring.
        single: name of the stream where `features` is no mapping.

    Raises:
        ConfigError: names the stream; says what was expected and what was found.
    """
    named = named_streams(features, single)
    if not named:
        raise ConfigError("features: expected at least one stream, found an empty mapping")
    same_index(list(named.items()))
    tables = {_checked_name(name): _table(str(name), values) for name, values in named.items()}
    counts = {name: len(table.clip_ids) for name, table in tables.items()}
    if len(set(counts.values())) > 1:
        raise ConfigError(
            f"features: expected streams of the same clips in the same order, found {_listed(counts)} clips; a clip that lacks "
            "a stream is a row of NaN, or None in a list"
        )
    return tables


def named_streams(features: Any, single: str = SINGLE) -> Mapping[str, Any]:
    """Streams by name, as the caller has them: the mapping itself, or one stream called `single`."""
    return features if isinstance(features, Mapping) else {single: features}


def rows_of(table: StreamTable, rows: NDArray[np.int64]) -> StreamTable:
    """The clips at these positions, in this order, under new row numbers."""
    clip_ids = tuple(map(str, range(len(rows))))
    if isinstance(table, FeatureTable):
        return FeatureTable(clip_ids, table.values[rows], table.present[rows])
    lengths = np.diff(table.offsets)[rows]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    frames = np.arange(offsets[-1]) + np.repeat(table.offsets[rows] - offsets[:-1], lengths)
    return RaggedTable(clip_ids, table.values[frames], offsets, table.present[rows])


def averaged_frames(table: StreamTable) -> FeatureTable:
    """One vector a clip: the mean of its frames; a table of vectors as it is."""
    if isinstance(table, FeatureTable):
        return table
    lengths = np.diff(table.offsets)
    sums = np.add.reduceat(table.values.astype(np.float64), table.offsets[:-1], axis=0)
    return FeatureTable(table.clip_ids, (sums / lengths[:, None]).astype(np.float32), table.present)


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(
            "features: expected streams named `<modality>` or `<modality>/<set>` (letters, digits, `_`, `-`, `+`, no `_` first), "
            f"found {str(name)[:60]!r}"
        )
    if name.partition("/")[0] in RESERVED_STREAM_NAMES:
        raise ConfigError(
            f"features: expected a name that no container of torch has an attribute of, found {name!r}; give it another one"
        )
    return name


def _table(name: str, values: Any) -> StreamTable:
    if isinstance(values, ClipFeatures):
        values = values.values
    if isinstance(values, (FeatureTable, RaggedTable)):
        ids = tuple(map(str, range(len(values.clip_ids))))
        if values.values.ndim != 2:
            raise ConfigError(f"stream {name}: expected values (rows, D), found {values.values.shape}")
        if isinstance(values, FeatureTable):
            return FeatureTable(ids, values.values, values.present)
        return RaggedTable(ids, values.values, values.offsets, values.present)
    if (items := _items(values)) is not None:
        return _of_items(name, items)
    array = number_array(f"stream {name}", values)
    if array.ndim == 3:
        raise ConfigError(
            f"stream {name}: expected vectors (clips, features), found an array of shape {array.shape}; frames (clips, frames, "
            "features) are given as a list of arrays, `list(array)`; of hidden states (clips, states, features) choose one"
        )
    if array.ndim != 2:
        raise ConfigError(
            f"stream {name}: expected vectors of shape (clips, features), found {array.shape}; one number a clip is "
            "`array[:, None]`, one clip is `array[None]`"
        )
    return _vectors(name, array)


def _items(values: Any) -> list[Any] | None:
    """The clips of a list, or of a one-dimensional array of objects that are arrays; None for a plain array."""
    if isinstance(values, (list, tuple)):
        return list(values)
    if getattr(getattr(values, "dtype", None), "kind", "") == "O" and getattr(values, "ndim", 0) == 1:
        items = list(values)
        return (
            items if any(hasattr(item, "__len__") and not isinstance(item, str) for item in items) else None
        )
    return None


def _of_items(name: str, items: Sequence[Any]) -> StreamTable:
    """A list with one item a clip: vectors where all have one axis, frames where all have two."""
    arrays = [
        None if _nothing(item) else number_array(f"stream {name}, clip {row}", item)
        for row, item in enumerate(items)
    ]
    axes = sorted({array.ndim for array in arrays if array is not None and array.size})
    if not axes:
        raise ConfigError(
            f"stream {name}: expected features of at least one clip, found a list of {len(items)} without any"
        )
    if axes not in ([1], [2]):
        raise ConfigError(
            f"stream {name}: expected a list of arrays (frames, features), or of vectors (features,), one item a clip; "
            f"found items with {' and '.join(map(str, axes))} axes"
        )
    first = next(row for row, array in enumerate(arrays) if array is not None and array.size)
    width = _width(arrays[first])
    for row, array in enumerate(arrays):
        if array is not None and array.size and array.shape[-1] != width:
            raise ConfigError(
                f"stream {name}: expected {width} features in every clip, as in clip {first}, found {array.shape[-1]} "
                f"in clip {row}"
            )
    if axes == [1]:
        absent = np.full(width, np.nan, dtype=np.float32)
        return _vectors(name, np.stack([absent if a is None or not a.size else a for a in arrays]))
    return _frames(name, arrays, width)


def _vectors(name: str, array: NDArray[np.float32]) -> FeatureTable:
    if 0 in array.shape:
        raise ConfigError(
            f"stream {name}: expected clips with features, found an array of shape {array.shape}"
        )
    present = np.asarray(~np.isnan(array).all(axis=1))
    broken = present & ~np.isfinite(array).all(axis=1)
    if broken.any():
        raise ConfigError(
            _not_finite(
                name, np.flatnonzero(broken), "a row that is NaN throughout says that a clip lacks it"
            )
        )
    values = np.where(present[:, None], array, np.float32(0))
    return FeatureTable(tuple(map(str, range(len(array)))), values, present)


def _frames(name: str, arrays: Sequence[NDArray[np.float32] | None], width: int) -> RaggedTable:
    empty = np.zeros((1, width), dtype=np.float32)  # a clip that lacks the stream has one frame of zeros
    kept: list[NDArray[np.float32]] = []
    present = np.zeros(len(arrays), dtype=bool)
    broken: list[int] = []
    for row, array in enumerate(arrays):
        frames = None if array is None or not array.size else array[~np.isnan(array).all(axis=1)]
        present[row] = frames is not None and len(frames) > 0
        kept.append(frames if frames is not None and present[row] else empty)
        if not np.isfinite(kept[-1]).all():
            broken.append(row)
    if broken:
        raise ConfigError(_not_finite(name, broken, "frames that are NaN throughout are left out"))
    offsets = np.cumsum([0, *(len(frames) for frames in kept)], dtype=np.int64)
    return RaggedTable(tuple(map(str, range(len(arrays)))), np.concatenate(kept), offsets, present)


def _nothing(item: Any) -> bool:
    return item is None or (isinstance(item, (float, np.floating)) and bool(np.isnan(item)))


def _width(array: NDArray[np.float32] | None) -> int:
    assert array is not None
    return int(array.shape[-1])


def _not_finite(name: str, clips: Sequence[int] | NDArray[np.int64], rule: str) -> str:
    return (
        f"stream {name}: expected finite features, found NaN or infinity among those of {len(clips)} clips, first clip "
        f"{int(clips[0])}; fill them ({rule})"
    )


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in counts.items())
