from __future__ import annotations

import numpy as np

from mer.examples import Examples
from mer.training.partition import FINAL_VIEW, partitions
from tasks.serve.evaluation import _scored_holdout


def test_a_holdout_clip_that_has_a_valence_alone_is_not_scored() -> None:
    emotion = np.array([0, 1] * 8 + [-1, 1, 0, -1], dtype=np.int64)
    clips = len(emotion)
    examples = Examples(
        clip_ids=tuple(f"clip{row:02}" for row in range(clips)),
        emotion=emotion,
        valence=np.ones(clips, dtype=np.float32),
        speaker=tuple(f"speaker{row // 4}" for row in range(clips)),
        fold=np.arange(clips) % 2,
        weight=np.ones(clips, dtype=np.float32),
    )
    held = np.arange(clips) >= 16
    final = partitions(examples, held, validation_share=0.25, seed=0)[FINAL_VIEW]
    assert np.flatnonzero(final.test).tolist() == [16, 17, 18, 19]
    assert np.flatnonzero(_scored_holdout(examples, final)).tolist() == [17, 18]
