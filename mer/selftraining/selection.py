"""Choosing pseudo-labels: per-class confidence thresholds and caps (system B, 2).

Known: high-confidence predictions on unlabelled data become pseudo-labels. Reconstruction: thresholds by
class (siblings of the
paper used .99 for happy, neutral, angry, sad and .85 for worried, surprise) and class-balanced caps.
Agreement between models
and further rounds belong to the callers.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from mer.ensemble.posteriors import Posteriors
from mer.errors import ConfigError


class SelectionConfig(BaseModel):
    """When a prediction is trusted as a label."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float = Field(
        default=0.9, ge=0.0, le=1.0, description="Least probability of the predicted class."
    )
    class_thresholds: Mapping[str, float] = Field(
        default_factory=dict, description="Thresholds of single classes, by name; they replace `threshold`."
    )
    cap_per_class: int | None = Field(
        default=None, ge=1, description="Most clips of one class (the most confident ones); none: no limit."
    )
    cap_ratio: float | None = Field(
        default=3.0,
        gt=0.0,
        description="Most clips of a class relative to the rarest class that was selected; none: no limit.",
    )
    temperature: float = Field(
        default=1.0, gt=0.0, description="Logits are divided by this before thresholds apply (calibration)."
    )


@dataclass(frozen=True)
class PseudoLabels:
    """Selected clips and the labels they were given: by class index, the most confident first."""

    clip_ids: tuple[str, ...]
    emotion: NDArray[np.int64]
    """(K,) class index."""
    confidence: NDArray[np.float32]
    """(K,) probability of that class; also the clip's weight in training."""
    valence: NDArray[np.float32]
    """(K,) predicted valence; NaN where the model predicts none."""
    counts: Mapping[str, int]
    """Selected clips per class name; every class is listed."""

    def to_parquet(self) -> bytes:
        """The selection as a Parquet file (clip_id, emotion, confidence, valence; class names in its
        metadata).
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.table(
            {
                "clip_id": pa.array(self.clip_ids, pa.string()),
                "emotion": self.emotion,
                "confidence": self.confidence,
                "valence": self.valence,
            }
        ).replace_schema_metadata({"classes": "\n".join(self.counts)})
        target = io.BytesIO()
        pq.write_table(table, target)
        return target.getvalue()

    @classmethod
    def from_parquet(cls, content: bytes) -> PseudoLabels:
        """Read back what `to_parquet` wrote."""
        import pyarrow.parquet as pq

        table = pq.read_table(io.BytesIO(content))
        classes = (table.schema.metadata or {}).get(b"classes", b"").decode().split("\n")
        emotion = table["emotion"].to_numpy()
        return cls(
            clip_ids=tuple(table["clip_id"].to_pylist()),
            emotion=emotion,
            confidence=table["confidence"].to_numpy(),
            valence=table["valence"].to_numpy(),
            counts={name: int((emotion == index).sum()) for index, name in enumerate(classes)},
        )


def select_pseudo_labels(
    posteriors: Posteriors,
    classes: Sequence[str],
    config: SelectionConfig,
    excluded: Collection[str] = (),
) -> PseudoLabels:
    """Select the predictions that are confident enough, at most the caps per class.

    Args:
        posteriors: predictions on (at least) the unlabelled clips.
        classes: class names in index order.
        config: thresholds and caps.
        excluded: clip ids that must never be selected (labelled, validation and test clips; invariant I10).

    Raises:
        ConfigError: a threshold names a class that does not exist, or the logits have another number of
        classes.
    """
    if unknown := sorted(set(config.class_thresholds) - set(classes)):
        raise ConfigError(
            f"pseudo-labels: thresholds for unknown classes {unknown}: expected {list(classes)}"
        )
    if posteriors.logits.shape[1] != len(classes):
        raise ConfigError(
            f"pseudo-labels: expected logits of {len(classes)} classes, found {posteriors.logits.shape[1]}"
        )
    probabilities = posteriors.probabilities(config.temperature)
    emotion = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    thresholds = np.array([config.class_thresholds.get(name, config.threshold) for name in classes])
    barred = set(excluded)
    allowed = np.array([clip_id not in barred for clip_id in posteriors.clip_ids], dtype=bool)
    eligible = allowed & (confidence >= thresholds[emotion])
    names = np.array(posteriors.clip_ids)
    ranked = [  # most confident first; equal ones by name, so that the order of rows does not matter
        sorted(np.flatnonzero(eligible & (emotion == index)), key=lambda row: (-confidence[row], names[row]))
        for index in range(len(classes))
    ]
    cap = _cap([len(rows) for rows in ranked], config)
    chosen = np.array([row for rows in ranked for row in rows[:cap]], dtype=np.int64)
    return PseudoLabels(
        clip_ids=tuple(posteriors.clip_ids[row] for row in chosen),
        emotion=emotion[chosen].astype(np.int64),
        confidence=confidence[chosen].astype(np.float32),
        valence=posteriors.valence[chosen].astype(np.float32),
        counts={name: min(len(rows), cap) for name, rows in zip(classes, ranked, strict=True)},
    )


def _cap(eligible: Sequence[int], config: SelectionConfig) -> int:
    cap = config.cap_per_class if config.cap_per_class is not None else max(eligible, default=0)
    present = [count for count in eligible if count]
    if config.cap_ratio is not None and present:
        cap = min(cap, max(1, int(config.cap_ratio * min(present))))
    return cap
