"""Streams at the level "states" as arrays (clips, variants, states, width), standardised by the clips that are learnt from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError
from mer.stream_tables import FeatureTable, Level, StreamTable

STATES: Level = "states"
_SMALLEST_DEVIATION = 1e-6
"""Relative to the mean: less than this is the rounding of a constant feature, whose scale is set to 0."""
_LARGEST = 100.0
"""Deviations from the mean at which a standardised feature is cut: nothing that was learnt lies there."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class StateTable:
    """One stream of N clips."""

    values: NDArray[np.floating]
    """(N, V, S, D) of any float type; finite where present."""
    present: NDArray[np.bool_]
    """(N,)"""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(V, S, D)"""
        variants, states, width = self.values.shape[1:]
        return variants, states, width

    def rows(self, rows: NDArray[np.int64]) -> StateTable:
        """The clips at these positions."""
        return StateTable(self.values[rows], self.present[rows])


@dataclass(frozen=True)
class Scaling:
    """Mean and scale of one stream's features over the clips that are learnt from, all variants together."""

    mean: Floats
    """(S, D)"""
    scale: Floats
    """(S, D) one by the deviation; 0 where the feature does not vary."""

    def apply(self, table: StateTable) -> Floats:
        """(N, V, S, D) standardised, rounded to half precision as they are stored; an absent clip is at the mean."""
        values = (table.values.astype(np.float32) - self.mean) * self.scale
        values = np.clip(values, -_LARGEST, _LARGEST).astype(np.float16).astype(np.float32)
        return np.where(table.present[:, None, None, None], values, np.float32(0))


def fit_scaling(table: StateTable, weight: NDArray[np.floating]) -> Scaling:
    """Scaling of these clips, each counting by its weight; nothing varies where no clip has the stream.

    Args:
        table: N clips.
        weight: (N,) positive.
    """
    states, width = table.values.shape[2:]
    held = table.present
    if not held.any():
        return Scaling(np.zeros((states, width), np.float32), np.zeros((states, width), np.float32))
    shares = np.repeat(weight[held].astype(np.float64), table.values.shape[1])
    shares /= shares.sum()
    mean, deviation = np.zeros((2, states, width))
    for state in range(
        states
    ):  # one at a time: all in double precision would take several times the table's memory
        values = table.values[held, :, state].astype(np.float64).reshape(-1, width)
        mean[state] = shares @ values
        values -= mean[state]
        deviation[state] = np.sqrt(shares @ np.square(values, out=values))
    varies = deviation > _SMALLEST_DEVIATION * np.maximum(1.0, np.abs(mean))
    scale = np.where(varies, 1 / np.where(varies, deviation, 1.0), 0.0)
    return Scaling(mean.astype(np.float32), scale.astype(np.float32))


def state_tables(tables: Mapping[str, StreamTable]) -> dict[str, StateTable]:
    """Tables of the level "states" as arrays.

    Raises:
        ConfigError: framewise tables, another number of axes, features that are not finite, or different numbers of variants.
    """
    read = {name: _state_table(name, table) for name, table in tables.items()}
    variants = {name: table.shape[0] for name, table in read.items()}
    if len(set(variants.values()) - {1}) > 1:
        raise ConfigError(
            f"streams: expected 1 variant of each clip, or as many as in the other streams, found {variants}"
        )
    return read


def variants_of(tables: Mapping[str, StateTable]) -> int:
    """In how many variants the clips come."""
    return max((table.shape[0] for table in tables.values()), default=1)


def _state_table(name: str, table: StreamTable) -> StateTable:
    values = table.values
    if not isinstance(table, FeatureTable) or values.ndim not in (2, 4):
        raise ConfigError(
            f'stream {name}: expected a table of the level "states", (clips, variants, states, width) or (clips, width), found '
            f"{values.shape}"
        )
    if values.ndim == 2:
        values = values[:, None, None, :]
    if not np.isfinite(values[table.present]).all():
        raise ConfigError(
            f"stream {name}: expected finite features, found NaN or infinity; mark the clip as lacking the stream"
        )
    if table.present.all():
        return StateTable(values, table.present)
    mask = table.present[:, None, None, None]
    return StateTable(np.where(mask, values, np.zeros((), values.dtype)), table.present)
