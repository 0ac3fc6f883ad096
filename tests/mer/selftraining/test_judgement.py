"""A round is kept by true labels alone, and not by chance."""

from __future__ import annotations

import numpy as np
import pytest

from mer.selftraining.config import SelfTrainingConfig
from mer.selftraining.judgement import HeldOutAnswers, judge_round


def answers(right_before: float, right_after: float, clips: int = 120, seed: int = 0) -> HeldOutAnswers:
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 3, clips)

    def said(right: float) -> np.ndarray:
        return np.where(generator.random(clips) < right, truth, (truth + 1) % 3)

    return HeldOutAnswers(
        truth, said(right_before), said(right_after), tuple(f"s{i % 8}" for i in range(clips))
    )


def test_a_clear_gain_is_kept_and_a_loss_is_not() -> None:
    better = judge_round([answers(0.5, 0.9), answers(0.5, 0.9, seed=1)], 3, SelfTrainingConfig())
    assert better.kept and better.gain > 0.2 and better.probability > 0.99 and better.clips == 240
    worse = judge_round([answers(0.9, 0.5)], 3, SelfTrainingConfig())
    assert not worse.kept and worse.gain < 0 and "expected a gain" in worse.reason


def test_a_gain_that_may_be_chance_is_not_kept() -> None:
    verdicts = [judge_round([answers(0.7, 0.7, seed=seed)], 3, SelfTrainingConfig()) for seed in range(40)]
    any_gain = np.mean([verdict.gain > 0 for verdict in verdicts])
    kept = np.mean([verdict.kept for verdict in verdicts])
    assert any_gain > 0.3 and kept < any_gain - 0.1
    point = [
        judge_round([answers(0.7, 0.7, seed=seed)], 3, SelfTrainingConfig(confidence=0.5))
        for seed in range(40)
    ]
    assert np.mean([verdict.kept for verdict in point]) == pytest.approx(any_gain, abs=0.15)


def test_equal_answers_and_no_answers_keep_what_was_there() -> None:
    same = answers(0.7, 0.7)
    unchanged = judge_round(
        [HeldOutAnswers(same.truth, same.before, same.before, same.speakers)], 3, SelfTrainingConfig()
    )
    assert not unchanged.kept and unchanged.gain == 0
    assert not judge_round([], 3, SelfTrainingConfig()).kept


def test_a_least_gain_is_asked_for() -> None:
    demanding = SelfTrainingConfig(least_gain=0.5)
    assert not judge_round([answers(0.5, 0.9)], 3, demanding).kept
