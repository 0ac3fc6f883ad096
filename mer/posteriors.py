"""Predictions of a model for clips: raw emotion logits and valence, in memory and as a Parquet file."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError


@dataclass(frozen=True)
class Posteriors:
    """Predictions for N clips.

    Raises:
        ConfigError: lists instead of arrays, lengths that differ, or a clip that occurs twice.
    """

    clip_ids: tuple[str, ...]
    logits: NDArray[np.float32]
    """(N, C) raw logits, before any temperature."""
    valence: NDArray[np.float32]
    """(N,) valence in [-5, 5]; NaN where the model was trained without valence."""

    def __post_init__(self) -> None:
        count = len(self.clip_ids)
        for name in ("logits", "valence"):
            if not isinstance(values := getattr(self, name), np.ndarray):
                raise ConfigError(f"posteriors: expected {name} as an array, found {type(values).__name__}")
        if self.logits.ndim != 2 or len(self.logits) != count or self.valence.shape != (count,):
            raise ConfigError(
                f"posteriors of {count} clips: expected logits ({count}, classes) and valence ({count},), "
                f"found {self.logits.shape} and {self.valence.shape}"
            )
        if len(set(self.clip_ids)) != count:
            raise ConfigError("posteriors: expected every clip once, found repeats")

    def __len__(self) -> int:
        return len(self.clip_ids)

    def probabilities(self, temperature: float = 1.0) -> NDArray[np.float64]:
        """(N, C) softmax of the logits divided by `temperature`; rows sum to 1."""
        scaled = self.logits.astype(np.float64) / temperature
        scaled -= scaled.max(axis=1, keepdims=True)
        exponentials = np.exp(scaled)
        return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))

    @property
    def predicted(self) -> NDArray[np.int64]:
        """(N,) most probable class."""
        return np.asarray(self.logits.argmax(axis=1), dtype=np.int64)

    def restricted(self, clip_ids: Sequence[str]) -> Posteriors:
        """The predictions for these clips, in this order.

        Raises:
            ConfigError: some of them were not predicted.
        """
        position = {clip_id: row for row, clip_id in enumerate(self.clip_ids)}
        if missing := [clip_id for clip_id in clip_ids if clip_id not in position]:
            raise ConfigError(f"posteriors: {len(missing)} clips were not predicted, first {missing[0]!r}")
        rows = np.array([position[clip_id] for clip_id in clip_ids], dtype=np.int64)
        return Posteriors(clip_ids=tuple(clip_ids), logits=self.logits[rows], valence=self.valence[rows])

    @classmethod
    def joined(cls, parts: Sequence[Posteriors]) -> Posteriors:
        """Predictions for disjoint sets of clips, one after the other.

        Raises:
            ConfigError: nothing to join, or a clip is in two parts.
        """
        if not parts:
            raise ConfigError("posteriors: expected at least one part to join, found none")
        return cls(
            clip_ids=tuple(clip_id for posteriors in parts for clip_id in posteriors.clip_ids),
            logits=np.concatenate([posteriors.logits for posteriors in parts]),
            valence=np.concatenate([posteriors.valence for posteriors in parts]),
        )

    def to_parquet(self) -> bytes:
        """The predictions as a Parquet file (columns clip_id, logits as fixed-size lists, valence)."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        flat = pa.array(np.ascontiguousarray(self.logits, dtype=np.float32).reshape(-1), pa.float32())
        table = pa.table(
            {
                "clip_id": pa.array(self.clip_ids, pa.string()),
                "logits": pa.FixedSizeListArray.from_arrays(flat, self.logits.shape[1]),
                "valence": pa.array(np.asarray(self.valence, dtype=np.float32), pa.float32()),
            }
        )
        target = io.BytesIO()
        pq.write_table(table, target)
        return target.getvalue()

    @classmethod
    def from_parquet(cls, content: bytes) -> Posteriors:
        """Read back what `to_parquet` wrote, bit for bit."""
        import pyarrow.parquet as pq

        table = pq.read_table(io.BytesIO(content))
        logits = table["logits"].combine_chunks()
        width = table.schema.field("logits").type.list_size
        values = logits.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
        return cls(
            clip_ids=tuple(table["clip_id"].to_pylist()),
            logits=np.ascontiguousarray(values, dtype=np.float32),
            valence=table["valence"].to_numpy().astype(np.float32),
        )
