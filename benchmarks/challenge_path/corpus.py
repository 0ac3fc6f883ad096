"""A made corpus as participants of MER2025 have it: labels, candidates, and one npy file a clip and feature set.

The classes and the valence within them are MER2023's (`benchmarks.fusion.joint_worlds`); each feature set tells a part of both.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.fusion.joint_worlds import CLASS_DEVIATION, CLASS_VALENCE, SHARES
from mer.emotions import MER_EMOTIONS

LABELLED, CANDIDATES = 7_369, 20_000
WIDTHS = {"acoustic": 1024, "visual": 1024, "lexical": 4096}
"""Feature set, a folder as the recipe `precomputed` names it -> features; float32."""
STRENGTH = {"acoustic": 0.11, "visual": 0.07, "lexical": 0.045}
"""How far a class' direction stands out of the noise of one feature."""
TRUTH = "classes_of_candidates.txt"
"""What was drawn for the candidates; no table that a reader looks for."""
TRAIN, CANDIDATE_TABLE = "track1_train_disdim.csv", "track_all_candidates.csv"


def make_corpus(root: Path, share: float = 1.0, seed: int = 0) -> tuple[int, int]:
    """Write the corpus below `root` unless it is there whole; returns how many clips are labelled, and how many candidates.

    Args:
        root: folder to make.
        share: of the clips.
        seed: of everything that is drawn.
    """
    labelled, candidates = round(LABELLED * share), round(CANDIDATES * share)
    done = root / f".whole-{labelled}-{candidates}-{seed}"
    if done.exists():
        return labelled, candidates
    rng = np.random.default_rng(seed)
    count = labelled + candidates
    emotion = rng.choice(len(SHARES), size=count, p=SHARES / SHARES.sum())
    residual = rng.normal(size=count).astype(np.float32)
    valence = np.clip(CLASS_VALENCE[emotion] + CLASS_DEVIATION[emotion] * residual, -5, 5)
    names = [f"sample_{number:08}" for number in range(count)]
    for name, width in WIDTHS.items():
        folder = root / "features" / name
        folder.mkdir(parents=True, exist_ok=True)
        directions = rng.normal(size=(len(SHARES) + 1, width)).astype(np.float32) * STRENGTH[name]
        for row, clip in enumerate(names):
            values = directions[emotion[row]] + residual[row] * directions[-1]
            np.save(folder / f"{clip}.npy", values + rng.normal(size=width).astype(np.float32))
    rows = [f"{names[row]},{MER_EMOTIONS[emotion[row]]},{valence[row]:.4f}" for row in range(labelled)]
    (root / TRAIN).write_text("\n".join(["name,discrete,valence", *rows]) + "\n", encoding="utf-8")
    asked = range(labelled, count)
    (root / CANDIDATE_TABLE).write_text(
        "\n".join(["name", *(names[row] for row in asked)]) + "\n", encoding="utf-8"
    )
    drawn = [f"{names[row]},{MER_EMOTIONS[emotion[row]]}" for row in asked]
    (root / TRUTH).write_text("\n".join(["name,discrete", *drawn]) + "\n", encoding="utf-8")
    done.touch()
    return labelled, candidates
