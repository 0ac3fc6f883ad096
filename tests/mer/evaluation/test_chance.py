"""What chance reaches: exact for few clips and few speakers, and no skill is seen in what speakers are like."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mer.evaluation.chance import chance_scores
from mer.evaluation.gate import GateConfig, ScoredClips, decide_first
from mer.evaluation.intervals import Resampling

CLASSES = 6


def answers(rng: np.random.Generator, accuracy: float, speakers: int, each: int) -> ScoredClips:
    """A model of this accuracy on average, better with some speakers than with others."""
    who = np.repeat(np.arange(speakers), each)
    truth = rng.integers(0, CLASSES, len(who))
    skill = (accuracy - 1 / CLASSES) / (1 - 1 / CLASSES)
    known = (skill + (skill > 0) * rng.normal(0, 0.1, speakers)).clip(0, 1)[who]
    said = np.where(rng.random(len(who)) < known, truth, rng.integers(0, CLASSES, len(who)))
    return ScoredClips(tuple(map(str, range(len(who)))), truth, said, tuple(f"s{one}" for one in who))


@pytest.mark.parametrize("speakers", [4, 12, 60])
def test_a_first_corpus_of_sixty_clips_is_enough_and_chance_is_kept_out(speakers: int) -> None:
    rng = np.random.default_rng(speakers)
    config = GateConfig(resamples=300)

    def promoted(accuracy: float) -> float:
        draws = [answers(rng, accuracy, speakers, 60 // speakers) for _ in range(100)]
        return float(np.mean([decide_first(one, config).promote for one in draws]))

    assert promoted(0.40) >= 0.8  # .94 by 300 draws
    assert promoted(1 / CLASSES) <= 0.08  # .03; twice the deviation of 100 draws above


def test_naming_the_class_of_a_speaker_is_no_skill() -> None:
    """Speakers who are mostly of one emotion, and a model that only knows the speakers."""
    rng = np.random.default_rng(0)
    favourite = rng.integers(0, CLASSES, 8)
    truth = np.concatenate(
        [np.where(rng.random(20) < 0.8, one, rng.integers(0, CLASSES, 20)) for one in favourite]
    )
    said, who = np.repeat(favourite, 20), tuple(f"s{row // 20}" for row in range(160))
    model = ScoredClips(tuple(map(str, range(160))), truth, said, who)
    assert not decide_first(model, GateConfig()).promote
    assert decide_first(ScoredClips(model.clip_ids, truth, said, (None,) * 160), GateConfig()).promote


def test_permutations_keep_how_often_a_speaker_shows_a_class() -> None:
    truth: NDArray[np.int64] = np.array([0, 0, 1, 1, 1, 0])
    who = ("a", "a", "a", "b", "c", None)
    seen: list[NDArray[np.generic]] = []

    def first_counts(counts: NDArray[np.generic]) -> NDArray[np.float64]:
        seen.append(counts)
        return counts[..., 0, 0].astype(np.float64)

    chance_scores(truth, np.arange(6), who, 6, score=first_counts, resampling=Resampling(200, 1))
    counts = np.concatenate(seen)  # (B, truth, clip): every clip is predicted as a class of its own
    assert (counts.sum(axis=1) == 1).all() and (counts.sum(axis=2)[:, :2] == 3).all()
    assert (counts[:, 0, :3].sum(axis=1) == 2).all(), "speaker a keeps two clips of class 0"
    assert set(counts[:, 0, 3].tolist()) == {0, 1}, "speakers of one clip are dealt among each other"
