"""Feature tables as the tensors a fusion model reads: aligned with the examples, standardised by the
training clips.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mer.errors import ConfigError
from mer.features.dataset import FeatureTable

_SMALLEST_DEVIATION = 1e-6


@dataclass(frozen=True)
class Standardisation:
    """Mean and scale of one stream's features, from training clips where the stream is present."""

    mean: Tensor
    """(D,)"""
    scale: Tensor
    """(D,) 1 / standard deviation; 0 for features that do not vary in training, which then stay out."""

    def __call__(self, values: Tensor) -> Tensor:
        """(N, D) -> (N, D)."""
        return (values - self.mean) * self.scale


@dataclass(frozen=True)
class StreamBatch:
    """Streams of N clips, standardised."""

    values: dict[str, Tensor]
    """Stream name -> (N, D)."""
    present: dict[str, Tensor]
    """Stream name -> (N,) bool."""

    def rows(self, index: Tensor) -> StreamBatch:
        """The same for the clips at `index`."""
        return StreamBatch(
            {name: values[index] for name, values in self.values.items()},
            {name: present[index] for name, present in self.present.items()},
        )


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


def flat_values(name: str, table: FeatureTable) -> NDArray[np.float32]:
    """(N, D) float32 features, all further axes flattened.

    Raises:
        ConfigError: features of a present clip that are not finite.
    """
    values = np.ascontiguousarray(table.values, dtype=np.float32).reshape(len(table.clip_ids), -1)
    broken = ~np.isfinite(values).all(axis=1) & table.present
    if broken.any():
        first = table.clip_ids[int(np.flatnonzero(broken)[0])]
        raise ConfigError(
            f"stream {name}: features of {int(broken.sum())} clips are not finite, first {first}"
        )
    return values


def check_aligned(features: Mapping[str, FeatureTable], clip_ids: Sequence[str]) -> None:
    """Refuse tables whose rows are not exactly these clips in this order.

    Raises:
        ConfigError: names the stream.
    """
    for name, table in features.items():
        if table.clip_ids != tuple(clip_ids):
            raise ConfigError(
                f"stream {name}: expected the {len(clip_ids)} clips of the examples in their order, "
                f"found {len(table.clip_ids)} others"
            )


def stream_batch(
    features: Mapping[str, FeatureTable],
    standardisation: Mapping[str, Standardisation],
    count: int,
) -> StreamBatch:
    """Standardised tensors of every stream the model knows; a stream without a table is missing for all
    `count` clips.

    Raises:
        ConfigError: a table of another width than the model was trained on, or of a stream it does not
            know.
    """
    if unknown := sorted(set(features) - set(standardisation)):
        raise ConfigError(f"fusion: expected streams {sorted(standardisation)}, found also {unknown}")
    values: dict[str, Tensor] = {}
    present: dict[str, Tensor] = {}
    for name, own in standardisation.items():
        if name not in features:
            values[name] = torch.zeros(count, len(own.mean))
            present[name] = torch.zeros(count, dtype=torch.bool)
            continue
        raw = torch.from_numpy(flat_values(name, features[name]))
        if raw.shape[1] != len(own.mean):
            raise ConfigError(f"stream {name}: expected {len(own.mean)} features, found {raw.shape[1]}")
        values[name] = own(raw)
        present[name] = torch.from_numpy(np.asarray(features[name].present, dtype=bool))
    return StreamBatch(values, present)


def drop_streams(
    present: Mapping[str, Tensor], probability: float, generator: torch.Generator
) -> dict[str, Tensor]:
    """Hide each stream of each clip with this probability, but never the last one a clip has.

    Args:
        present: stream name -> (B,) bool.
        probability: chance of being hidden.
        generator: source of the draws.
    """
    names = list(present)
    before = torch.stack([present[name] for name in names], dim=1)  # (B, M)
    drawn = torch.rand(before.shape, generator=generator)
    kept = before & (drawn >= probability)
    # where everything would go, the present stream with the largest draw stays
    best = drawn.masked_fill(~before, -1.0).argmax(dim=1, keepdim=True)
    rescue = ~kept.any(dim=1, keepdim=True) & before.any(dim=1, keepdim=True)
    kept = kept | (torch.zeros_like(before).scatter(1, best, True) & rescue)
    return {name: kept[:, column] for column, name in enumerate(names)}
