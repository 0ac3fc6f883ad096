"""The test keeps its level although the training priors are estimates and speakers differ, and it sees real shifts."""

from __future__ import annotations

import numpy as np
import pytest
from scored_clips import SHIFTED, TRAINING, calibration, drawn, spoilt, target

from mer.label_shift.clip_sets import CalibrationClips, TargetClips
from mer.label_shift.permutation import permutation_test


@pytest.mark.slow
def test_the_level_holds_with_few_calibration_clips_and_many_target_clips() -> None:
    tests = [
        permutation_test(calibration(250, seed), target(TRAINING, 5000, seed + 1000), 199, seed)
        for seed in range(200)
    ]
    alarms = np.mean([one.shifted(0.05) for one in tests])
    assert 0.01 <= alarms <= 0.095, "binomial bounds of a level of .05 in 200 draws"
    assert 0.4 < np.mean([one.p_value for one in tests]) < 0.6
    assert tests[0].design_effect == 1.0 and not tests[0].by_speaker


@pytest.mark.parametrize("seed", range(5))
def test_the_challenges_shift_is_seen(seed: int) -> None:
    found = permutation_test(calibration(3373, seed), target(SHIFTED, 2000, seed + 50))
    assert found.p_value == 1 / 2000
    assert found.shifted(0.01)


def speakers(count: int, clips: int, seed: int) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Speakers who each sound a little like one emotion whatever they say; priors are the same."""
    exact, truth = drawn(TRAINING, count * clips, seed)
    accent = 6.0 * np.random.default_rng(seed).normal(size=(count, 6))
    who = np.repeat(np.arange(count), clips)
    return spoilt(exact) + accent[who], truth, tuple(f"{seed}/{one}" for one in who)


def test_speakers_are_no_shift() -> None:
    by_speaker, unknown, naive = [], [], []
    for seed in range(60):
        own, truth, names = speakers(20, 40, seed)
        other, _, others = speakers(20, 40, seed + 500)
        known = CalibrationClips(own, names, truth)
        by_speaker.append(permutation_test(known, TargetClips(other, others), 199, seed))
        unknown.append(permutation_test(known, TargetClips(other), 199, seed))
        naive.append(permutation_test(CalibrationClips(own, truth=truth), TargetClips(other), 199, seed))
    rates = [np.mean([one.shifted(0.05) for one in tests]) for tests in (by_speaker, unknown, naive)]
    assert rates[0] <= 0.13 and rates[1] <= 0.13
    assert rates[2] > 0.4, "without speakers the alarm is false: the test shows nothing"
    assert by_speaker[0].by_speaker and by_speaker[0].units == 40
    assert min(one.design_effect for one in unknown) > 2


def test_the_same_seed_gives_the_same_answer() -> None:
    first, second = (permutation_test(calibration(300), target(TRAINING, 300), 199, 4) for _ in range(2))
    assert first == second
