"""What chance reaches on some clips: scores of the same predictions under labels that were dealt anew.

Labels are permuted within each speaker, so that neither how often classes are true or predicted nor what a speaker is like counts
as skill. It is exact for few clips, where the bootstrap over few speakers says little: of 60 clips of 4 speakers and 6 classes, a
model with an accuracy of .40 is above chance at 97 % in 94 % of 300 draws by this test and in 48 % by that interval, one with .28
in 56 % and 13 %, and one at chance in 3 % and 0 % (tests/mer/evaluation/test_chance.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mer.evaluation.intervals import RESAMPLING, Resampling, Score
from mer.evaluation.metrics import Floats, waf

_AT_ONCE = 2_000_000
"""Labels that are held at a time."""


def chance_scores(
    truth: NDArray[np.int64],
    predicted: NDArray[np.int64],
    speakers: Sequence[str | None],
    classes: int,
    *,
    score: Score = waf,
    resampling: Resampling = RESAMPLING,
) -> Floats:
    """(B,) score of the predictions under each permutation of the labels within speakers.

    Speakers of a single clip, and clips of unknown speakers, are permuted among each other.

    Args:
        truth: (N,) class index.
        predicted: (N,) class index.
        speakers: (N,) speaker or None.
        classes: number of classes.
        score: any score of confusion counts.
        resampling: number of permutations and their seed.
    """
    clips_of = Counter(speakers)
    names = ["" if who is None or clips_of[who] == 1 else f"speaker:{who}" for who in speakers]
    strata = [np.flatnonzero(np.array(names) == name) for name in sorted(set(names))]
    generator = np.random.default_rng(resampling.seed)
    size = classes * classes
    scores = []
    for begin in range(0, resampling.resamples, step := max(1, _AT_ONCE // max(1, len(truth)))):
        draws = min(step, resampling.resamples - begin)
        labels = np.tile(truth, (draws, 1))
        for rows in strata:
            labels[:, rows] = generator.permuted(labels[:, rows], axis=1)
        cells = labels * classes + predicted + np.arange(draws)[:, None] * size
        counts = np.bincount(cells.ravel(), minlength=draws * size).reshape(draws, classes, classes)
        scores.append(score(counts))
    return np.concatenate(scores)
