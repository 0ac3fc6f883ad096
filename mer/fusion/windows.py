"""Framewise tables as a fusion reads them: coarser frames, and the clip's statistics beside them.

Reconstruction, both for reasons measured in docs/experiments.md. Speech encoders give 25 to 50 frames a second, an expression of
emotion lasts longer: averages of neighbours are fewer and less noisy, and a model costs that much less. An attended mean of
frames knows nothing of their spread, which tells emotion well: mean and deviation over the clip are a second stream of the same
modality, of one frame, so that a hierarchy has something to weigh within a modality.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mer.errors import ConfigError
from mer.features.dataset import FeatureTable, RaggedTable
from mer.fusion.config import FusionConfig
from mer.fusion.streams import StreamTable

STATISTICS = "statistics"
"""Name of the stream of a clip's mean and deviation, after that of the modality."""


def read_tables(features: Mapping[str, StreamTable], config: FusionConfig) -> dict[str, StreamTable]:
    """The streams a fusion of these options reads of the tables it is given; vectors pass as they are.

    Raises:
        ConfigError: a table has the name that the statistics of another one get.
    """
    read: dict[str, StreamTable] = {}
    for name, table in features.items():
        if not isinstance(table, RaggedTable):
            read[name] = table
            continue
        read[name] = windowed(table, config.frame_window)
        if config.frame_statistics:
            if (statistics := f"{name}/{STATISTICS}") in features:
                raise ConfigError(
                    f"stream {statistics}: expected another name, since `frame_statistics` makes one of it of the frames of "
                    f"{name}"
                )
            read[statistics] = clip_statistics(table)
    return read


def windowed(table: RaggedTable, frames: int) -> RaggedTable:
    """Means of `frames` neighbours each; a clip's last window holds what is left."""
    if frames == 1:
        return table
    lengths = np.diff(table.offsets)
    counts = -(-lengths // frames)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    window = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
    starts = np.repeat(table.offsets[:-1], counts) + window * frames
    ends = np.minimum(starts + frames, np.repeat(table.offsets[1:], counts))
    return RaggedTable(table.clip_ids, _means(table, starts, ends - starts), offsets, table.present)


def clip_statistics(table: RaggedTable) -> FeatureTable:
    """(clips, 2 * width) mean and standard deviation over a clip's frames, all further axes flattened; zeros where absent."""
    lengths = np.diff(table.offsets)
    mean = _means(table, table.offsets[:-1], lengths).reshape(len(lengths), -1)
    centred = table.values.reshape(len(table.values), -1).astype(np.float32) - np.repeat(
        mean, lengths, axis=0
    )
    squares = np.add.reduceat(centred**2, table.offsets[:-1], axis=0) / lengths[:, None]
    values = np.concatenate([mean, np.sqrt(squares)], axis=1) * table.present[:, None]
    return FeatureTable(table.clip_ids, values.astype(np.float32), table.present)


def _means(table: RaggedTable, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    summed = np.add.reduceat(table.values.astype(np.float32), starts, axis=0)
    return np.asarray(summed / lengths.reshape(-1, *[1] * (summed.ndim - 1)), dtype=np.float32)
