"""A corpus of precomputed features: a few labels, many unlabelled clips, refreshed in seconds."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

EMOTIONS = ("neutral", "angry", "happy")
STREAMS = {"faces-UTT": 24, "words-UTT": 16}
"""Feature set -> width."""
RECIPE = """
name: refreshed
emotions: [neutral, angry, happy]
folds: {count: 3, use_published: false, validation_share: 0.4, seed: 2}
visual:
  features: {modality: visual, source: "files:faces-UTT"}
lexical:
  features: {modality: lexical, source: "files:words-UTT"}
fusion: {model: concat, hidden: 32, epochs: 20, learning_rate: 0.003}
pseudo_labels: {share: 0.8, rounds: 2, confidence: 0.5}
"""
ONE_ROUND = RECIPE.replace("use_published: false", "use_published: true").replace("rounds: 2", "rounds: 1")
"""On the folds of labels.csv, so that no hash decides who trains; a refresh ends as its only round does."""
FOLDS = 3


def make_corpus(
    root: Path, *, speakers: int = 12, labelled: int = 6, canary: int = 24, seed: int = 1
) -> Path:
    """Labelled clips of every speaker, a holdout and a canary speaker of `canary` clips; no unlabelled clips yet."""
    rows = []
    for speaker in range(speakers):
        split = {0: "test", 1: "canary"}.get(speaker, "train")
        count = {"test": 24, "canary": canary, "train": labelled}[split]
        fold = str(speaker % FOLDS) if split == "train" else ""
        names = [f"gold_{speaker:02d}_{number:02d}" for number in range(count)]
        truth = write_features(root, names, seed=seed * 1000 + speaker)
        rows += [
            {
                "name": name,
                "emotion": EMOTIONS[kind],
                "speaker": f"s{speaker:02d}",
                "split": split,
                "fold": fold,
            }
            for name, kind in zip(names, truth, strict=True)
        ]
    write_table(root, rows)
    return root


def add_unlabelled(root: Path, batch: str, clips: int, *, seed: int, flipped: float = 0.0) -> list[str]:
    """One more batch of unlabelled clips of speakers of its own; names in their order.

    `flipped`: share of the clips whose features are those of the next class, so that whoever votes on them is wrong.
    """
    names = [f"{batch}_{number:03d}" for number in range(clips)]
    write_features(root, names, seed=seed, flipped=flipped)
    known = list(csv.DictReader((root / "labels.csv").read_text(encoding="utf-8").splitlines()))
    new = [
        {"name": name, "emotion": "", "speaker": f"{batch}_{number % 4}", "split": "unlabelled", "fold": ""}
        for number, name in enumerate(names)
    ]
    write_table(root, [*known, *new])
    return names


def write_features(root: Path, names: Sequence[str], *, seed: int, flipped: float = 0.0) -> np.ndarray:
    """Both streams' vectors of these clips; returns their classes."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, len(EMOTIONS), len(names))
    shown = np.where(rng.random(len(names)) < flipped, (truth + 1) % len(EMOTIONS), truth)
    for place, (stream, width) in enumerate(STREAMS.items()):
        centres = np.random.default_rng(40 + place).normal(size=(len(EMOTIONS), width))
        values = (0.55 * centres[shown] + rng.normal(size=(len(names), width))).astype(np.float32)
        folder = root / "features" / stream
        folder.mkdir(parents=True, exist_ok=True)
        for name, row in zip(names, values, strict=True):
            np.save(folder / f"{name}.npy", row)
    return np.asarray(truth)


def write_table(root: Path, rows: Sequence[dict[str, str]]) -> None:
    """labels.csv."""
    with (root / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, ["name", "emotion", "speaker", "split", "fold"])
        table.writeheader()
        table.writerows(rows)
