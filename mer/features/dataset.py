"""Features of the clips a training run asks for, in its order, out of any shards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.errors import CorpusError
from mer.features.clip_feature import ClipFeature
from mer.features.shard import Shard, shard_of
from mer.stream_tables import FeatureTable, RaggedTable

__all__ = [
    "FeatureTable",
    "RaggedTable",
    "assemble",
    "assemble_ragged",
    "ragged_of",
    "table_of",
    "table_rows",
]

ShardRows = tuple[Shard, NDArray[np.int64], NDArray[np.int64]]
"""A shard, rows of a table it fills, and the places of these clips in the shard."""


def assemble(shards: Iterable[Shard], clip_ids: Sequence[str]) -> FeatureTable:
    """Gather utterance-level features of these clips, in their order.

    Raises:
        CorpusError: a clip is in no shard, or shards differ in shape.
        ValueError: a clip has several frames (use `assemble_ragged`).
    """
    gathered = _Gathered(shards, clip_ids)
    if (gathered.lengths != 1).any():
        raise ValueError("expected utterance-level features (one row a clip), found frames")
    values = np.zeros((len(clip_ids), *gathered.shape), dtype=gathered.dtype)
    for shard, rows, positions in gathered.parts():
        values[rows] = shard.values[shard.offsets[positions]]
    return FeatureTable(tuple(clip_ids), values, gathered.present)


def assemble_ragged(shards: Iterable[Shard], clip_ids: Sequence[str]) -> RaggedTable:
    """Gather framewise features of these clips, in their order.

    Raises:
        CorpusError: a clip is in no shard, or shards differ in shape.
    """
    gathered = _Gathered(shards, clip_ids)
    offsets = np.concatenate([[0], np.cumsum(gathered.lengths)]).astype(np.int64)
    values = np.zeros((int(offsets[-1]), *gathered.shape), dtype=gathered.dtype)
    for shard, rows, positions in gathered.parts():
        for row, position in zip(rows.tolist(), positions.tolist(), strict=True):
            begin, end = shard.offsets[position], shard.offsets[position + 1]
            values[offsets[row] : offsets[row + 1]] = shard.values[begin:end]
    return RaggedTable(tuple(clip_ids), values, offsets, gathered.present)


def table_of(clip_ids: Sequence[str], features: Sequence[ClipFeature]) -> FeatureTable:
    """Utterance-level table of features just extracted."""
    return assemble([shard_of(clip_ids, features)], clip_ids)


def ragged_of(clip_ids: Sequence[str], features: Sequence[ClipFeature]) -> RaggedTable:
    """Framewise table of features just extracted."""
    return assemble_ragged([shard_of(clip_ids, features)], clip_ids)


def table_rows(table: FeatureTable) -> list[ClipFeature]:
    """Rows of a table as clips' features, to be written as a shard."""
    return [
        ClipFeature(values=table.values[row : row + 1], present=bool(table.present[row]))
        for row in range(len(table.clip_ids))
    ]


class _Gathered:
    """Which shard holds which of the clips asked for, and the shape they share."""

    def __init__(self, shards: Iterable[Shard], clip_ids: Sequence[str]) -> None:
        self.shards = list(shards)
        where = {
            clip_id: (number, position)
            for number, shard in enumerate(self.shards)
            for clip_id, position in shard.positions.items()
        }
        absent = [clip_id for clip_id in clip_ids if clip_id not in where]
        if absent:
            raise CorpusError(f"{len(absent)} of {len(clip_ids)} clips are in no shard, e.g. {absent[0]}")
        self._numbers = np.array([where[clip_id][0] for clip_id in clip_ids], dtype=np.int64)
        self._positions = np.array([where[clip_id][1] for clip_id in clip_ids], dtype=np.int64)
        self.present = np.zeros(len(clip_ids), dtype=bool)
        self.lengths = np.ones(len(clip_ids), dtype=np.int64)
        for shard, rows, positions in self._all_parts():
            self.present[rows] = shard.present[positions]
            self.lengths[rows] = shard.offsets[positions + 1] - shard.offsets[positions]
        self.shape, self.dtype = self._common_shape()

    def parts(self) -> Iterable[ShardRows]:
        """What to copy: shards without any present clip only guess the shape, and hold nothing but zeros."""
        return (shard_rows for shard_rows in self._all_parts() if shard_rows[0].present.any())

    def _all_parts(self) -> Iterable[ShardRows]:
        for number, shard in enumerate(self.shards):
            rows = np.flatnonzero(self._numbers == number)
            if rows.size:
                yield shard, rows, self._positions[rows]

    def _common_shape(self) -> tuple[tuple[int, ...], np.dtype[Any]]:
        known = {(shard.values.shape[1:], shard.values.dtype) for shard in self.shards if shard.present.any()}
        if len(known) > 1:
            raise CorpusError(f"shards of one feature set differ in shape: {sorted(map(str, known))}")
        if known:
            return known.pop()
        first = self.shards[0].values if self.shards else np.zeros((0, 1), dtype=np.float32)
        return first.shape[1:], first.dtype
