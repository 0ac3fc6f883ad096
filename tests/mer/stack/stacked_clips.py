"""Clips as stacks read them: speech frame by frame, a vector of the face for most, words frame by frame for some."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mer.examples import Examples
from mer.features.dataset import FeatureTable, RaggedTable
from mer.fusion.config import FusionConfig
from mer.fusion.streams import StreamTable, flat_values
from mer.stack.data import StackData
from mer.stack.frames import FrameStore, StackFrames
from mer.stack.state import ModelPlan

CLIPS, CLASSES = 60, 3
WIDTHS = {"acoustic": 6, "visual": 5, "lexical": 4}
MEANS = np.array([0.0, -2.5, 1.8])
BASE = FusionConfig(
    model="afg_guided", level="frames", hidden=8, batch_size=16, epochs=4, patience=0, dropout=0.3,
    modality_dropout=0.2, averaging=0.9, learning_rate=3e-3, weight_decay=1e-3,
)  # fmt: skip


@dataclass(frozen=True)
class Clips:
    """The same clips as a fit reads them and as a stack does."""

    tables: dict[str, StreamTable]
    examples: Examples
    data: StackData

    def masks(self, fold: int) -> tuple[np.ndarray, np.ndarray]:
        """Training and validation clips; folds 3 and 4 have fewer to learn from."""
        number = self.examples.fold
        return (number != fold) & ~((fold >= 3) & (np.arange(CLIPS) < 10)), number == fold

    def plan(self, fold: int = 0, **changes: object) -> ModelPlan:
        """A model of one fold."""
        return ModelPlan(BASE.model_copy(update=changes), self.data.view(f"fold{fold}", *self.masks(fold)))


def made(*, frames: bool = True) -> Clips:
    """Clips with class signal; `frames`: otherwise every stream is the mean of its frames."""
    rng = np.random.default_rng(3)
    emotion = rng.integers(0, CLASSES, CLIPS)
    names = tuple(f"c{i}" for i in range(CLIPS))
    tables: dict[str, StreamTable] = {}
    for name, width in WIDTHS.items():
        lengths = rng.integers(1, 9, CLIPS) if name != "visual" else np.ones(CLIPS, dtype=np.int64)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        values = rng.normal(2, 3, (int(offsets[-1]), width)) + np.repeat(
            2 * np.eye(CLASSES, width)[emotion], lengths, axis=0
        )
        present = np.ones(CLIPS, bool) if name == "acoustic" else rng.random(CLIPS) < 0.8
        values[np.repeat(~present, lengths)] = np.nan  # a missing clip may hold anything
        if frames and name != "visual":
            tables[name] = RaggedTable(names, values.astype(np.float32), offsets, present)
        else:
            means = np.add.reduceat(values, offsets[:-1], axis=0) / lengths[:, None]
            tables[name] = FeatureTable(names, means.astype(np.float32), present)
    valence = (MEANS[emotion] + 0.3 * rng.normal(size=CLIPS)).astype(np.float32)
    valence[::7] = np.nan
    labels = np.where(np.arange(CLIPS) % 11 == 0, -1, emotion)
    weight = np.where(np.arange(CLIPS) % 5 == 0, 0.5, 1.0).astype(np.float32)
    examples = Examples(names, labels, valence, (None,) * CLIPS, np.arange(CLIPS) % 5, weight)
    return Clips(tables, examples, stack_data(tables, examples))


def stack_data(tables: dict[str, StreamTable], examples: Examples) -> StackData:
    """Tables and labels as a stack reads them."""
    target = examples.distributions(CLASSES)
    ragged: dict[str, StackFrames] = {
        name: FrameStore().add(name, table)
        for name, table in tables.items()
        if isinstance(table, RaggedTable)
    }
    return StackData(
        values={
            name: torch.from_numpy(flat_values(name, table))
            for name, table in tables.items()
            if isinstance(table, FeatureTable)
        },
        present={name: torch.from_numpy(table.present) for name, table in tables.items()},
        emotion=torch.from_numpy(examples.emotion),
        valence=torch.from_numpy(examples.valence),
        weight=torch.from_numpy(examples.weight),
        classes=CLASSES,
        frames=ragged,
        target=None if target is None else torch.from_numpy(target),
    )
