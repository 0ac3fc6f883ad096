"""Feature tables as the tensors a fusion model reads: aligned with the examples, standardised by the
training clips.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mer.errors import ConfigError
from mer.fusion.frames import Frames, FrameStore
from mer.stream_tables import RaggedTable, StreamTable

__all__ = [
    "Standardisation", "StreamBatch", "StreamTable", "check_aligned", "drop_streams", "fit_standardisation", "flat_values",
    "standardisation_of", "stream_batch",
]  # fmt: skip

_SMALLEST_DEVIATION = 1e-6
"""Relative to the mean: less than this is the rounding of a constant feature, whose scale is set to 0."""


@dataclass(frozen=True)
class Standardisation:
    """Mean and scale of one stream's features, from training clips where the stream is present."""

    mean: Tensor
    """(D,)"""
    scale: Tensor
    """(D,) 1 / standard deviation; 0 for features that do not vary in training, which then stay out."""

    def __call__(self, values: Tensor) -> Tensor:
        """(N, D) -> (N, D), of clips or of frames."""
        return (values - self.mean) * self.scale


@dataclass(frozen=True)
class StreamBatch:
    """Streams of N clips, standardised."""

    values: dict[str, Tensor]
    """Stream name -> (N, D); in a batch also (N, T, D), padded."""
    present: dict[str, Tensor]
    """Stream name -> (N,) bool, of all streams; in a batch also (N, T), true at valid frames."""
    frames: dict[str, Frames] = field(default_factory=dict)
    """Streams that are held frame by frame; empty in a batch, where they are in `values`."""
    clip_lengths: Tensor | None = None
    """(N,) frames of each clip's longest framewise stream, where these were averaged: batches are still made by length."""

    def rows(self, index: Tensor) -> StreamBatch:
        """The clips at `index` as a batch that a model reads: framewise streams are padded."""
        values = {name: values.index_select(0, index) for name, values in self.values.items()}
        present = {name: present.index_select(0, index) for name, present in self.present.items()}
        for name, frames in self.frames.items():
            values[name], present[name] = frames.padded(index)
        return StreamBatch(values, present)

    def averaged(self) -> StreamBatch:
        """The same with framewise streams as their mean over frames, which is what a model reads that does not read frames."""
        if not self.frames:
            return self
        values = dict(self.values) | {name: frames.means() for name, frames in self.frames.items()}
        return StreamBatch(
            {name: values[name] for name in self.present}, self.present, clip_lengths=self.lengths
        )

    @property
    def lengths(self) -> Tensor | None:
        """(N,) frames of each clip's longest framewise stream; None where every stream is one vector a clip."""
        if not self.frames:
            return self.clip_lengths
        return torch.stack([frames.lengths for frames in self.frames.values()]).amax(dim=0)


def fit_standardisation(values: NDArray[np.floating], use: NDArray[np.bool_]) -> Standardisation:
    """Mean and scale of (N, D) values over the rows in `use`; the identity where there are none."""
    width = values.shape[1]
    if not use.any():
        return Standardisation(torch.zeros(width), torch.ones(width))
    chosen = values[use].astype(np.float64)
    mean, deviation = chosen.mean(axis=0), chosen.std(axis=0)
    varies = deviation > _SMALLEST_DEVIATION * np.maximum(1.0, np.abs(mean))
    scale = np.where(varies, 1 / np.where(varies, deviation, 1.0), 0.0)
    return Standardisation(torch.from_numpy(mean).float(), torch.from_numpy(scale).float())


def standardisation_of(name: str, table: StreamTable, train: NDArray[np.bool_]) -> Standardisation:
    """Mean and scale over the training clips that have the stream, or over all of their frames.

    Raises:
        ConfigError: features of a present clip that are not finite.
    """
    use = train & table.present
    if isinstance(table, RaggedTable):
        use = np.repeat(use, np.diff(table.offsets))
    return fit_standardisation(flat_values(name, table), use)


def flat_values(name: str, table: StreamTable) -> NDArray[np.float32]:
    """(N, D) float32 features of clips, or (sum of T, D) of frames; all further axes flattened.

    Raises:
        ConfigError: features of a present clip that are not finite.
    """
    ragged = isinstance(table, RaggedTable)
    rows = (
        np.diff(table.offsets) if isinstance(table, RaggedTable) else np.ones(len(table.clip_ids), np.int64)
    )
    values = np.ascontiguousarray(table.values, dtype=np.float32).reshape(int(rows.sum()), -1)
    # rows of absent clips may hold anything
    broken = ~np.isfinite(values).all(axis=1) & np.repeat(table.present, rows)
    if broken.any():
        clips = np.unique(np.repeat(np.arange(len(rows)), rows)[broken])
        raise ConfigError(
            f"stream {name}: features of {len(clips)} clips are not finite, first {table.clip_ids[int(clips[0])]}"
            f"{' (frame by frame)' if ragged else ''}"
        )
    return values


def check_aligned(features: Mapping[str, StreamTable], clip_ids: Sequence[str]) -> None:
    """Refuse what is no table, and tables whose rows are not exactly these clips in this order.

    Raises:
        ConfigError: names the stream.
    """
    _check_tables(features)
    for name, table in features.items():
        if table.clip_ids != tuple(clip_ids):
            raise ConfigError(
                f"stream {name}: expected the {len(clip_ids)} clips of the examples in their order, "
                f"found {len(table.clip_ids)} others"
            )


def clips_of(features: Mapping[str, StreamTable]) -> tuple[str, ...]:
    """Clips of the tables' rows: those of the first table.

    Raises:
        ConfigError: no stream, or something else than tables.
    """
    _check_tables(features)
    if not features:
        raise ConfigError("fusion: expected features of at least one stream, found none")
    return next(iter(features.values())).clip_ids


def _check_tables(features: Any) -> None:
    if not isinstance(features, Mapping):
        raise ConfigError(
            f"fusion: expected a mapping of stream names to feature tables, found {_described(features)}; for plain arrays there "
            "is mer.Fusion"
        )
    for name, table in features.items():
        if not isinstance(table, StreamTable):
            raise ConfigError(
                f"stream {name}: expected a FeatureTable or RaggedTable (mer.stream_tables), which know their clips, found "
                f"{_described(table)}; for plain arrays there is mer.Fusion"
            )


def _described(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return f"{type(value).__name__}" + (f" of shape {tuple(shape)}" if shape is not None else "")


def stream_batch(
    features: Mapping[str, StreamTable],
    standardisation: Mapping[str, Standardisation],
    count: int,
    stores: Mapping[str, FrameStore] | None = None,
) -> StreamBatch:
    """Standardised tensors of every stream the model knows; a stream without a table, or without any present clip (of whatever
    width), is missing for all `count` clips.

    Args:
        features: stream name -> table of `count` clips.
        standardisation: of every stream that the model knows.
        count: clips.
        stores: framewise stream -> where its frames are held, as they are, and standardised whenever they are read: for views
            that share them. Other framewise streams are held standardised.

    Raises:
        ConfigError: a table of another width than the model was trained on, or of a stream it does not
            know.
    """
    if unknown := sorted(set(features) - set(standardisation)):
        raise ConfigError(f"fusion: expected streams {sorted(standardisation)}, found also {unknown}")
    values: dict[str, Tensor] = {}
    present: dict[str, Tensor] = {}
    frames: dict[str, Frames] = {}
    for name, standardise in standardisation.items():
        if name not in features:
            values[name] = torch.zeros(count, len(standardise.mean))
            present[name] = torch.zeros(count, dtype=torch.bool)
            continue
        table = features[name]
        raw = torch.from_numpy(flat_values(name, table))
        if raw.shape[1] != len(standardise.mean) and not table.present.any():
            raw = torch.zeros(len(raw), len(standardise.mean))  # the width of what nobody has is only guessed
        if raw.shape[1] != len(standardise.mean):
            raise ConfigError(
                f"stream {name}: expected {len(standardise.mean)} features, found {raw.shape[1]}"
            )
        present[name] = torch.from_numpy(np.asarray(table.present, dtype=bool))
        if isinstance(table, RaggedTable):
            offsets = torch.from_numpy(np.asarray(table.offsets, dtype=np.int64))
            if stores is not None and name in stores:
                first, lengths = stores[name].add(table.clip_ids, raw, offsets)
                frames[name] = Frames(stores[name], first, lengths, present[name], standardise)
            else:
                frames[name] = Frames.of(standardise(raw), offsets, present[name])
        else:
            values[name] = standardise(raw)
    return StreamBatch(values, present, frames)


def drop_streams(
    present: Mapping[str, Tensor], probability: float, generator: torch.Generator
) -> dict[str, Tensor]:
    """Hide each stream of each clip with this probability, but never the last one a clip has.

    Args:
        present: stream name -> (B,) bool, or (B, T) bool: all frames of a stream go together.
        probability: chance of being hidden.
        generator: source of the draws.
    """
    names = list(present)
    before = torch.stack([_any_frame(present[name]) for name in names], dim=1)  # (B, M)
    drawn = torch.rand(before.shape, generator=generator)
    visible = before & (drawn >= probability)
    # where everything would go, the present stream with the largest draw stays
    best = drawn.masked_fill(~before, -1.0).argmax(dim=1, keepdim=True)
    rescue = ~visible.any(dim=1, keepdim=True) & before.any(dim=1, keepdim=True)
    visible = visible | (torch.zeros_like(before).scatter(1, best, True) & rescue)
    return {
        name: visible[:, column] if present[name].ndim == 1 else present[name] & visible[:, column, None]
        for column, name in enumerate(names)
    }


def _any_frame(present: Tensor) -> Tensor:
    return present if present.ndim == 1 else present.any(dim=1)
