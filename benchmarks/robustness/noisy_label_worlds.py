"""The clips of `benchmarks.robustness.noisy_labels`: speakers made of Gaussians, and the training folds of RAVDESS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mer.examples import Examples
    from mer.features.dataset import FeatureTable

SET_ASIDE = 0
"""Outer fold that is in no world."""


@dataclass(frozen=True)
class World:
    """Clips with true labels; the fold set aside is not among them."""

    examples: Examples
    tables: Mapping[str, FeatureTable]
    classes: int


def gaussian(clips: int, classes: int = 6, speakers: int = 20) -> World:
    """Classes that two streams tell apart in part, spoken by speakers who differ."""
    from mer.examples import Examples
    from mer.features.dataset import FeatureTable

    rng = np.random.default_rng(0)
    emotion, who = rng.integers(0, classes, clips), np.arange(clips) % speakers
    ids = tuple(f"c{i}" for i in range(clips))
    tables = {
        name: FeatureTable(
            ids,
            (spread * rng.normal(size=(classes, width))[emotion] + 0.5 * rng.normal(size=(speakers, width))[who]
             + rng.normal(size=(clips, width))).astype(np.float32),
            np.ones(clips, bool),
        )
        for name, width, spread in (("acoustic", 60, 0.3), ("visual", 20, 0.3))
    }  # fmt: skip
    nothing, one = np.full(clips, np.nan, np.float32), np.ones(clips, np.float32)
    examples = Examples(ids, emotion, nothing, tuple(f"s{i}" for i in who), (who % 5).astype(np.int64), one)
    return without_fold(World(examples, tables, classes))


def ravdess(root: Path, encoder: str, kept: Path) -> World:
    """Speech and action units of the folds that are not set aside."""
    from benchmarks.ravdess.streams import FACE, layer, load_corpus
    from mer.ensemble.varied import PLAIN
    from mer.features.dataset import FeatureTable

    corpus = load_corpus(root, encoder, kept, 1, quick=False, speeds={PLAIN: 1.0})
    ids = corpus.examples.clip_ids
    tables = {
        name: FeatureTable(ids, corpus.streams[stream].values[PLAIN], corpus.streams[stream].present)
        for name, stream in (("acoustic", layer(2)), ("visual", FACE))
    }
    return without_fold(World(corpus.examples, tables, len(corpus.classes)))


def without_fold(world: World) -> World:
    """Everything but the fold set aside."""
    rows = np.flatnonzero(world.examples.fold != SET_ASIDE)
    return World(world.examples.subset(rows), rows_of(world.tables, rows), world.classes)


def rows_of(tables: Mapping[str, FeatureTable], rows: NDArray[np.int64]) -> dict[str, FeatureTable]:
    """The tables' rows."""
    return {
        name: replace(
            own, clip_ids=tuple(own.clip_ids[i] for i in rows), values=own.values[rows], present=own.present[rows]
        )
        for name, own in tables.items()
    }  # fmt: skip
