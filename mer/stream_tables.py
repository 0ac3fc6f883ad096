"""Features of clips as a system reads them: a table a stream, of one vector a clip, one a frame, or several pooled hidden states.

A system that reads several levels gets the tables of each: `{"utterance": {stream: table}, "frames": {stream: table}}`.

At the level "states" values are (clips, variants, states, width): the clip as it is first, then changed in ways that leave the
emotion alone (played at other speeds); every pooled hidden state of the encoder by itself. A stream without further variants, or
without an axis of states, has 1 of them. A table (clips, width) is read as one variant and one state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class FeatureTable:
    """Utterance-level features, one row a clip."""

    clip_ids: tuple[str, ...]
    values: NDArray[Any]
    """(clips, ...); zeros where absent."""
    present: NDArray[np.bool_]
    """(clips,)."""


@dataclass(frozen=True)
class RaggedTable:
    """Framewise features, concatenated over time."""

    clip_ids: tuple[str, ...]
    values: NDArray[Any]
    """(sum of T, ...)."""
    offsets: NDArray[np.int64]
    """(clips + 1,) clip i has frames offsets[i]..offsets[i + 1] - 1; an absent clip has one frame of
    zeros.
    """
    present: NDArray[np.bool_]
    """(clips,)."""


StreamTable = FeatureTable | RaggedTable
"""A stream's features: a vector per clip, or one per frame."""

RESERVED_STREAM_NAMES = frozenset(
    {
        "T_destination", "add_module", "apply", "bfloat16", "buffers", "call_super_init", "children", "clear",
        "compile", "cpu", "cuda", "double", "dump_patches", "eval", "extra_repr", "float", "forward", "get_buffer",
        "get_extra_state", "get_parameter", "get_submodule", "half", "ipu", "items", "keys", "load_state_dict",
        "modules", "mtia", "named_buffers", "named_children", "named_modules", "named_parameters", "parameters", "pop",
        "register_backward_hook", "register_buffer", "register_forward_hook", "register_forward_pre_hook",
        "register_full_backward_hook", "register_full_backward_pre_hook", "register_load_state_dict_post_hook",
        "register_load_state_dict_pre_hook", "register_module", "register_parameter", "register_state_dict_post_hook",
        "register_state_dict_pre_hook", "requires_grad_", "set_extra_state", "set_submodule", "share_memory",
        "smart_apply", "state_dict", "to", "to_empty", "train", "training", "type", "update", "values", "xpu", "zero_grad",
    }
)  # fmt: skip
"""Attributes of torch's containers (`smart_apply` is added by transformers), whose items the streams and modalities of a fusion
are: none can be called so."""

Level = Literal["utterance", "frames", "states"]
"""How streams are read: as one vector a clip, frame by frame where they have frames, or as all variants and hidden states."""

LevelTables = Mapping[Level, Mapping[str, StreamTable]]
"""Level -> stream -> its table; all tables are of the same clips in the same order."""


def absent_table(table: StreamTable) -> StreamTable:
    """The table of the same clips and width in which no clip has the stream."""
    count = len(table.clip_ids)
    values = np.zeros((count, *table.values.shape[1:]), dtype=table.values.dtype)
    nobody = np.zeros(count, dtype=bool)
    if isinstance(table, FeatureTable):
        return FeatureTable(table.clip_ids, values, nobody)
    return RaggedTable(table.clip_ids, values, np.arange(count + 1, dtype=np.int64), nobody)


def without_clips(table: StreamTable, clips: NDArray[np.bool_]) -> StreamTable:
    """The same table in which these clips (N,) lack the stream; the table itself where it holds none of them."""
    dropped = table.present & clips
    if not dropped.any():
        return table
    if isinstance(table, FeatureTable):
        keep = ~dropped.reshape(-1, *(1 for _ in table.values.shape[1:]))
        return FeatureTable(table.clip_ids, np.where(keep, table.values, 0), table.present & ~dropped)
    lengths = np.where(dropped, 1, np.diff(table.offsets))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    values = np.zeros((int(offsets[-1]), *table.values.shape[1:]), dtype=table.values.dtype)
    for row in np.flatnonzero(~dropped):
        values[offsets[row] : offsets[row + 1]] = table.values[table.offsets[row] : table.offsets[row + 1]]
    return RaggedTable(table.clip_ids, values, offsets, table.present & ~dropped)


def without_stream(tables: LevelTables, stream: str) -> LevelTables:
    """The same tables with one stream absent for all clips, at every level."""
    return {
        level: {name: absent_table(table) if name == stream else table for name, table in streams.items()}
        for level, streams in tables.items()
    }
