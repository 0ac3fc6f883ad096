"""A small corpus as tables at all levels: each stream tells a part of the class, a third of the clips has no face."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mer.examples import Examples
from mer.stream_tables import FeatureTable, RaggedTable, StreamTable
from mer.systems.kinds import FitData

CLASSES = ("angry", "happy", "sad")
CLIPS = 90
WIDTHS = {"acoustic": 6, "visual": 4}


def fit_data(*, missing: bool = True) -> FitData:
    generator = np.random.default_rng(3)
    emotion = np.arange(CLIPS) % 3
    ids = tuple(f"c{i}" for i in range(CLIPS))
    vectors: dict[str, StreamTable] = {}
    frames: dict[str, StreamTable] = {}
    for name, width in WIDTHS.items():
        present = (
            np.arange(CLIPS) // 3 % 3 > 0 if missing and name == "visual" else np.ones(CLIPS, dtype=bool)
        )
        lengths = np.where(present, generator.integers(1, 6, CLIPS), 1)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        values = (
            generator.normal(0, 1, (offsets[-1], width)) + 1.5 * np.eye(3, width)[emotion.repeat(lengths)]
        )
        values = (values * present.repeat(lengths)[:, None]).astype(np.float32)
        means = np.add.reduceat(values, offsets[:-1], axis=0) / lengths[:, None]
        vectors[name] = FeatureTable(ids, means.astype(np.float32), present)
        frames[name] = RaggedTable(ids, values, offsets, present)
    examples = Examples(
        clip_ids=ids,
        emotion=emotion,
        valence=(1.5 * emotion - 1.5 + generator.normal(0, 0.3, CLIPS)).astype(np.float32),
        speaker=tuple(f"s{i % 9}" for i in range(CLIPS)),
        fold=np.zeros(CLIPS, dtype=np.int64),
        weight=np.ones(CLIPS, dtype=np.float32),
    )
    speaker = np.arange(CLIPS) % 9
    return FitData(
        {"utterance": vectors, "frames": frames, "states": vectors},
        examples,
        speaker < 6,
        speaker == 6,
        CLASSES,
    )


def with_soft_targets(data: FitData, *, of_classes_0_and_1: float = 0.5) -> FitData:
    """Clips of class 0 belong to class 1 as well, by this share."""
    target = np.eye(3, dtype=np.float32)[data.examples.emotion]
    target[data.examples.emotion == 0] = [1 - of_classes_0_and_1, of_classes_0_and_1, 0.0]
    return replace(data, examples=replace(data.examples, target=target))
