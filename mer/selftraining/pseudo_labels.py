"""Pseudo-labels in memory and as a Parquet file, and training examples that learn from them."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError
from mer.examples import Examples
from mer.selftraining.config import SelfTrainingConfig


@dataclass(frozen=True)
class PseudoLabels:
    """Selected clips and the labels they were given: by class index, the most confident first."""

    clip_ids: tuple[str, ...]
    emotion: NDArray[np.int64]
    """(K,) class index."""
    confidence: NDArray[np.float32]
    """(K,) calibrated probability of that class."""
    valence: NDArray[np.float32]
    """(K,) predicted valence; NaN where the model predicts none."""
    probabilities: NDArray[np.float32]
    """(K, C) distribution of the leading voter: soft targets."""
    agreeing: NDArray[np.int64]
    """(K,) voters that named the class."""
    classes: tuple[str, ...]
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """Least confidence by class name that was asked for, or that was reached where a share is taken; infinite: none was good
    enough."""
    precision: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By class name: (right, all) of the held-out true labels that the same policy would have taken."""

    @property
    def counts(self) -> Mapping[str, int]:
        """Selected clips per class name; every class is listed."""
        return {name: int((self.emotion == index).sum()) for index, name in enumerate(self.classes)}

    @property
    def estimated_precision(self) -> float:
        """Share of right ones to be expected: held-out precision by class, weighted by what was selected; NaN if unknown.

        A class without held-out votes counts as the mean of the others.
        """
        known = {name: right / count for name, (right, count) in self.precision.items() if count}
        taken = {name: count for name, count in self.counts.items() if count and name in known}
        if not taken:
            return float("nan")
        return sum(count * known[name] for name, count in taken.items()) / sum(taken.values())

    def to_parquet(self) -> bytes:
        """The selection as a Parquet file (clip_id, emotion, confidence, valence, agreeing, probabilities)."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        flat = pa.array(np.ascontiguousarray(self.probabilities, np.float32).reshape(-1), pa.float32())
        record = {
            "classes": list(self.classes),
            "thresholds": {name: _number(value) for name, value in self.thresholds.items()},
            "precision": {name: list(value) for name, value in self.precision.items()},
        }
        table = pa.table(
            {
                "clip_id": pa.array(self.clip_ids, pa.string()),
                "emotion": self.emotion,
                "confidence": self.confidence,
                "valence": self.valence,
                "agreeing": self.agreeing,
                "probabilities": pa.FixedSizeListArray.from_arrays(flat, len(self.classes)),
            }
        ).replace_schema_metadata({"selection": json.dumps(record)})
        target = io.BytesIO()
        pq.write_table(table, target)
        return target.getvalue()

    @classmethod
    def from_parquet(cls, content: bytes) -> PseudoLabels:
        """Read back what `to_parquet` wrote."""
        import pyarrow.parquet as pq

        table = pq.read_table(io.BytesIO(content))
        record = json.loads((table.schema.metadata or {})[b"selection"])
        values = table["probabilities"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return cls(
            clip_ids=tuple(table["clip_id"].to_pylist()),
            emotion=table["emotion"].to_numpy(),
            confidence=table["confidence"].to_numpy(),
            valence=table["valence"].to_numpy(),
            probabilities=values.reshape(-1, len(record["classes"])),
            agreeing=table["agreeing"].to_numpy(),
            classes=tuple(record["classes"]),
            thresholds={
                name: float("inf") if value is None else value for name, value in record["thresholds"].items()
            },
            precision={name: (right, count) for name, (right, count) in record["precision"].items()},
        )

    def subset(self, rows: NDArray[np.int64]) -> PseudoLabels:
        """The labels at these positions."""
        return replace(
            self,
            clip_ids=tuple(self.clip_ids[row] for row in rows),
            emotion=self.emotion[rows],
            confidence=self.confidence[rows],
            valence=self.valence[rows],
            probabilities=self.probabilities[rows],
            agreeing=self.agreeing[rows],
        )


def union(generations: Sequence[PseudoLabels]) -> PseudoLabels | None:
    """All labels of several selections; None where there are none. A clip of two of them keeps its earliest label.

    Raises:
        ConfigError: selections of different classes.
    """
    if len({generation.classes for generation in generations}) > 1:
        raise ConfigError("pseudo-labels: expected generations of the same classes, found different ones")
    taken: set[str] = set()
    selections = []
    for generation in generations:
        fresh = np.array(
            [row for row, clip_id in enumerate(generation.clip_ids) if clip_id not in taken], np.int64
        )
        taken |= set(generation.clip_ids)
        selections.append(generation.subset(fresh))
    if not taken:
        return None
    return PseudoLabels(
        clip_ids=tuple(clip_id for selection in selections for clip_id in selection.clip_ids),
        emotion=np.concatenate([selection.emotion for selection in selections]),
        confidence=np.concatenate([selection.confidence for selection in selections]),
        valence=np.concatenate([selection.valence for selection in selections]),
        probabilities=np.concatenate([selection.probabilities for selection in selections]),
        agreeing=np.concatenate([selection.agreeing for selection in selections]),
        classes=selections[0].classes,
    )


def with_pseudo_labels(examples: Examples, pseudo: PseudoLabels, config: SelfTrainingConfig) -> Examples:
    """The examples with these clips labelled, by class or by distribution, and weighted as `config` says.

    Raises:
        ConfigError: a clip that is not among the examples, or has a label already.
    """
    position = {clip_id: row for row, clip_id in enumerate(examples.clip_ids)}
    if unknown := [clip_id for clip_id in pseudo.clip_ids if clip_id not in position]:
        raise ConfigError(
            f"pseudo-labels: {len(unknown)} clips are not of this data set, first {unknown[0]!r}"
        )
    rows = np.array([position[clip_id] for clip_id in pseudo.clip_ids], dtype=np.int64)
    if (examples.emotion[rows] >= 0).any():
        raise ConfigError("pseudo-labels: expected clips without a visible label, found some that have one")
    emotion, valence = examples.emotion.copy(), examples.valence.copy()
    weight = examples.weight.copy()
    emotion[rows], valence[rows] = pseudo.emotion, pseudo.valence
    weight[rows] = config.weight * (pseudo.confidence if config.weighting == "confidence" else 1.0)
    target = examples.target
    if config.targets == "soft":
        target = (
            np.full((len(examples), len(pseudo.classes)), np.nan, np.float32)
            if target is None
            else target.copy()
        )
        target[rows] = pseudo.probabilities
    return replace(examples, emotion=emotion, valence=valence, weight=weight, target=target)


def _number(value: float) -> float | None:
    return None if np.isinf(value) else float(value)
