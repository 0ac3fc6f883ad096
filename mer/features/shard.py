"""A shard: the features of some hundred clips as one tensor file and one index.

`values.safetensors` holds one tensor `values` (sum of T, ...); `index.parquet` says which rows are whose and
is written last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.errors import CorpusError
from mer.features.clip_feature import ClipFeature, bearable
from mer.tensor_files import write_arrays
from mer.whole_files import write_whole

VALUES, INDEX = "values.safetensors", "index.parquet"


@dataclass(frozen=True)
class Shard:
    """Features of some clips, concatenated over time."""

    clip_ids: tuple[str, ...]
    values: NDArray[Any]
    """(sum of T, ...)."""
    offsets: NDArray[np.int64]
    """(clips + 1,) clip i has rows offsets[i]..offsets[i + 1] - 1."""
    present: NDArray[np.bool_]
    """(clips,)."""
    flags: tuple[tuple[str, ...], ...]
    positions: dict[str, int] = field(repr=False, compare=False)
    """Place of each clip id."""

    def get(self, clip_id: str) -> ClipFeature:
        """One clip's feature; KeyError for a clip of another shard."""
        position = self.positions[clip_id]
        rows = self.values[self.offsets[position] : self.offsets[position + 1]]
        return ClipFeature(rows, bool(self.present[position]), self.flags[position])


def shard_of(clip_ids: Sequence[str], features: Sequence[ClipFeature]) -> Shard:
    """Concatenate features; absent ones become zeros of the shape the present ones have.

    Raises:
        CorpusError: the present ones differ in shape or type.
    """
    if len(clip_ids) != len(features) or not features:
        raise ValueError(
            f"expected one feature per clip and at least one, found {len(features)} and {len(clip_ids)}"
        )
    shapes = {(feature.values.shape[1:], feature.values.dtype) for feature in features if feature.present}
    if len(shapes) > 1:
        raise CorpusError(
            f"expected features of one shape and type in a set, found {sorted(map(str, shapes))}"
        )
    shape, dtype = shapes.pop() if shapes else (features[0].values.shape[1:], features[0].values.dtype)
    arrays = [
        feature.values if feature.present else np.zeros((1, *shape), dtype=dtype) for feature in features
    ]
    return Shard(
        clip_ids=tuple(clip_ids),
        values=np.concatenate(arrays),
        offsets=np.cumsum([0, *(len(array) for array in arrays)], dtype=np.int64),
        present=np.array([feature.present for feature in features], dtype=bool),
        flags=tuple(tuple(feature.flags) for feature in features),
        positions={clip_id: position for position, clip_id in enumerate(clip_ids)},
    )


def write_shard(folder: Path, clip_ids: Sequence[str], features: Sequence[ClipFeature]) -> None:
    """Write the features of these clips (same order) into an existing folder.

    Values that are not bearable (see `mer.validation.magnitude`) make the clip absent, flagged `not_finite`.

    Raises:
        CorpusError: features of several shapes or types, or `check_features` finds fault with them. Nothing is written then.
    """
    import pyarrow as pa
    import pyarrow.parquet as parquet

    from mer.validation.check import check_features

    shard = shard_of(clip_ids, [bearable(feature) for feature in features])
    check_features(shard.clip_ids, shard.values, shard.offsets, shard.present)
    write_arrays(folder / VALUES, {"values": shard.values})
    columns = {
        "clip_id": pa.array(shard.clip_ids, pa.string()),
        "offset": pa.array(shard.offsets[:-1], pa.int64()),
        "length": pa.array(np.diff(shard.offsets), pa.int64()),
        "present": pa.array(shard.present, pa.bool_()),
        "flags": pa.array([list(flags) for flags in shard.flags], pa.list_(pa.string())),
    }
    index = pa.BufferOutputStream()
    parquet.write_table(pa.table(columns), index)
    write_whole(folder / INDEX, index.getvalue().to_pybytes())


def presence_in(index: bytes) -> dict[str, tuple[bool, tuple[str, ...]]]:
    """Whether each clip of a shard is present, and its flags, out of the bytes of its index: no value is read."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    columns = parquet.read_table(pa.BufferReader(index), columns=["clip_id", "present", "flags"]).to_pydict()
    return {
        clip_id: (present, tuple(flags))
        for clip_id, present, flags in zip(
            columns["clip_id"], columns["present"], columns["flags"], strict=True
        )
    }


def read_shard(folder: Path) -> Shard:
    """Read a shard.

    Raises:
        CorpusError: files absent, damaged, or not of each other.
    """
    import pyarrow.parquet as parquet
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        index = parquet.read_table(folder / INDEX).to_pydict()
        values = load_file(folder / VALUES)["values"]
        clip_ids = tuple(index["clip_id"])
        lengths = np.array(index["length"], dtype=np.int64)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        sound = (
            np.array_equal(offsets[:-1], index["offset"])
            and offsets[-1] == len(values)
            and bool((lengths > 0).all())
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:  # pyarrow's errors are among these
        raise CorpusError(f"feature shard {folder}: cannot be read: {error}") from error
    if not sound:
        raise CorpusError(f"feature shard {folder}: index and values do not fit together; extract it again")
    return Shard(
        clip_ids=clip_ids,
        values=values,
        offsets=offsets,
        present=np.array(index["present"], dtype=bool),
        flags=tuple(tuple(flags) for flags in index["flags"]),
        positions={clip_id: position for position, clip_id in enumerate(clip_ids)},
    )
