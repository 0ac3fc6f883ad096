"""Inner folds of gold and pseudo-labelled clips: what is judged is in every fold, and no speaker in two."""

from __future__ import annotations

import numpy as np

from mer.examples import Examples
from mer.kernels.lesson import inner_folds


def clips(gold: int, others: int, shared: bool = False) -> Examples:
    """Gold clips of seven speakers, six each; pseudo-labelled ones of four speakers, of whom one may be a gold one too."""
    count = 6 * gold + others
    rows = np.arange(count)
    is_gold = rows < 6 * gold
    names = [f"g{row // 6}" if row < 6 * gold else f"p{row % 4}" for row in rows]
    speaker = tuple("g0" if shared and name == "p0" else name for name in names)
    return Examples(
        tuple(f"c{row}" for row in rows), rows % 3, np.full(count, np.nan, np.float32), speaker,
        np.where(is_gold, 0, -1), np.ones(count, np.float32),
    )  # fmt: skip


def test_judged_clips_are_in_every_fold_however_many_others_there_are() -> None:
    for shared in (False, True):
        examples = clips(7, 96, shared)
        judged = examples.fold >= 0
        fold = inner_folds(examples, judged, 5, 0)
        assert set(fold[judged].tolist()) == set(range(5)) and set(fold.tolist()) <= set(range(5))
        for speaker in set(examples.speaker):
            of = {int(fold[row]) for row in range(len(fold)) if examples.speaker[row] == speaker}
            assert len(of) == 1, "a speaker is in one fold"


def test_one_judged_speaker_cannot_be_divided() -> None:
    one = clips(1, 8)
    assert inner_folds(one, one.fold >= 0, 5, 0).max() >= 0
    alone = clips(7, 0)
    everyone = np.ones(len(alone), dtype=bool)
    assert len(set(inner_folds(alone, everyone, 5, 0).tolist())) == 5
