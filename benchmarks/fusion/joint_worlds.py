"""Corpora on which joint decoding is taken apart: the demo corpus, made ones, and RAVDESS with a valence derived from its labels.

Each is vectors of a few streams, classes, valence, speakers and five folds of whole speakers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mer.emotions import MER_EMOTIONS
from mer.examples import Examples
from mer.features.dataset import FeatureTable
from mer.fusion.streams import StreamTable
from mer.training.folds import assign_folds

SHARES = np.array([0.258, 0.244, 0.204, 0.114, 0.137, 0.043])
"""Of the classes of MER2023's training clips (known), in the order of `MER_EMOTIONS`."""
CLASS_VALENCE = np.array([-0.08, -2.50, 1.77, -2.37, -1.01, -0.41])
CLASS_DEVIATION = np.array([0.68, 0.95, 0.74, 1.03, 0.80, 1.29])
"""Of valence within each class there (known)."""
POLARITY = {
    "neutral": 0.0, "calm": 0.5, "happy": 1.5, "sad": -1.5, "angry": -1.5, "fearful": -1.5, "disgust": -1.5, "surprised": 0.5,
}  # fmt: skip
"""Valence of RAVDESS' classes at normal intensity, by their names; strong intensity doubles it. Ours: the corpus has none."""
FOLDS, SPEAKERS = 5, 20


@dataclass(frozen=True)
class World:
    """One corpus."""

    examples: Examples
    tables: Mapping[str, StreamTable]
    classes: tuple[str, ...]


def made(clips: int, within: float, seed: int) -> World:
    """Clips with MER2023's classes and valence, and two streams of 64 features that tell both.

    Each stream is the class' direction, the direction of valence within the class times `within`, the speaker's own offset and
    noise; neither stream alone separates the classes.
    """
    rng = np.random.default_rng(seed)
    emotion = rng.choice(len(SHARES), size=clips, p=SHARES / SHARES.sum())
    residual = rng.normal(size=clips)
    valence = np.clip(CLASS_VALENCE[emotion] + CLASS_DEVIATION[emotion] * residual, -5, 5)
    speaker = np.arange(clips) % SPEAKERS
    ids = tuple(f"clip{number:05}" for number in range(clips))
    tables: dict[str, StreamTable] = {}
    for name in ("acoustic", "visual"):
        classes, direction = rng.normal(size=(len(SHARES), 64)), rng.normal(size=64)
        values = 0.22 * classes[emotion] + 0.22 * within * residual[:, None] * direction
        values += 0.5 * rng.normal(size=(SPEAKERS, 64))[speaker] + rng.normal(size=(clips, 64))
        tables[name] = FeatureTable(ids, values.astype(np.float32), np.ones(clips, dtype=bool))
    speakers = tuple(f"speaker{number:02}" for number in speaker)
    return World(_examples(ids, emotion, valence, speakers), tables, MER_EMOTIONS)


def demo(folder: Path, clips: int, seed: int) -> World:
    """The demo corpus: speech, drawn faces by oriented gradients, words; valence as it is drawn there."""
    from benchmarks.fusion.audio_guided_corpus import load_corpus

    corpus = load_corpus(folder, clips, seed)
    return World(corpus.examples, corpus.vectors, MER_EMOTIONS)


def ravdess(root: Path, encoder: str, kept: Path) -> World:
    """RAVDESS on its published folds: a speech layer and action units; valence by class and intensity (`POLARITY`)."""
    import csv

    from benchmarks.ravdess.streams import FACE, layer, load_corpus
    from mer.ensemble.varied import PLAIN

    corpus = load_corpus(root, encoder, kept, 1, quick=False, speeds={PLAIN: 1.0})
    with (root / "labels.csv").open(encoding="utf-8", newline="") as file:
        strong = {row["name"]: row["intensity"] == "strong" for row in csv.DictReader(file)}
    valence = [
        POLARITY[corpus.classes[label]] * (1 + strong[name])
        for name, label in zip(corpus.examples.clip_ids, corpus.examples.emotion, strict=True)
    ]
    tables: dict[str, StreamTable] = {
        name: FeatureTable(
            corpus.examples.clip_ids, corpus.streams[own].values[PLAIN], corpus.streams[own].present
        )
        for name, own in (("acoustic", layer(2)), ("visual", FACE))
    }
    examples = replace(corpus.examples, valence=np.array(valence, dtype=np.float32))
    return World(examples, tables, corpus.classes)


def worlds(folder: Path, root: Path | None, encoder: str, *, quick: bool) -> dict[str, Callable[[], World]]:
    """Name -> how the corpus is made; RAVDESS where it is there."""
    clips = 120 if quick else 300
    found: dict[str, Callable[[], World]] = {
        "made 400": lambda: made(400, 1.0, 1),
        "made 400, valence by class alone": lambda: made(400, 0.0, 2),
    }
    if not quick:
        found |= {"made 1600": lambda: made(1600, 1.0, 3), "demo 61": lambda: demo(folder, clips, 61)}
    found["demo 137"] = lambda: demo(folder, clips, 137)
    if root is not None and not quick:
        found["ravdess, derived valence"] = lambda: ravdess(root, encoder, folder / "ravdess")
    return found


def _examples(
    ids: tuple[str, ...], emotion: NDArray[np.int64], valence: NDArray[np.float64], speakers: tuple[str, ...]
) -> Examples:
    folds = assign_folds(speakers, ids, emotion, FOLDS, seed=1)
    return Examples(
        ids,
        emotion.astype(np.int64),
        valence.astype(np.float32),
        speakers,
        folds,
        np.ones(len(ids), dtype=np.float32),
    )
