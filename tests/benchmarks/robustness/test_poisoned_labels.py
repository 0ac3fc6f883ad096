"""The poison is what it is said to be: 30 % of the labels, all wrong, all from one upload, and none where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.ravdess.streams import Corpus
from benchmarks.robustness.poisoned_labels import KINDS, UPLOAD, poisoned
from mer.examples import Examples

CLIPS, CLASSES = 200, ("neutral", "angry", "happy", "sad")


def corpus() -> Corpus:
    rng = np.random.default_rng(0)
    examples = Examples(
        clip_ids=tuple(f"c{row:03d}" for row in range(CLIPS)),
        emotion=rng.integers(0, len(CLASSES), CLIPS),
        valence=np.full(CLIPS, np.nan, np.float32),
        speaker=tuple(f"s{row % 8}" for row in range(CLIPS)),
        fold=np.zeros(CLIPS, dtype=np.int64),
        weight=np.ones(CLIPS, np.float32),
    )
    return Corpus(examples, CLASSES, {})


@pytest.mark.parametrize("kind", KINDS)
def test_the_poison(kind: str) -> None:
    own = corpus()
    truth = own.examples.emotion
    honest = np.where(np.arange(CLIPS) < 150, truth, -1)
    labels, sources = poisoned(own, honest, kind, seed=3)
    upload = np.array([source == UPLOAD for source in sources])
    assert (labels[~upload] == honest[~upload]).all()
    assert upload.sum() == (0 if kind == "none" else 45)
    if kind in ("random", "next"):
        assert (labels[upload] != truth[upload]).all() and (labels[upload] >= 0).all()
    if kind == "one":
        assert len(set(labels[upload].tolist())) == 1
