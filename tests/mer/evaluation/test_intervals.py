from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import f1_score

from mer.evaluation import intervals, metrics
from mer.evaluation.intervals import paired_differences


def by_speaker(
    rng: np.random.Generator, speakers: int, each: int
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Truth, predictions and speakers; how well a speaker is recognised varies a lot between speakers."""
    truth = rng.integers(0, 4, size=speakers * each)
    skill = np.repeat(rng.normal(0.7, 0.12, size=speakers).clip(0.3, 1), each)
    predicted = np.where(rng.random(len(truth)) < skill, truth, rng.integers(0, 4, size=len(truth)))
    return truth, predicted, [f"s{i // each}" for i in range(len(truth))]


def test_a_resample_is_the_score_of_the_drawn_speakers_clips() -> None:
    truth, predicted, speakers = by_speaker(np.random.default_rng(0), 7, 30)
    groups = intervals.resampling_groups(speakers, len(truth))
    weights = intervals.resample_weights(7, 20, seed=3)
    samples = intervals.resampled_scores(
        intervals.group_confusions(truth, predicted, groups, 4), weights, metrics.waf
    )
    for row, sample in zip(weights.astype(int), samples, strict=True):
        drawn = np.concatenate(
            [np.flatnonzero(groups == group).repeat(times) for group, times in enumerate(row)]
        )
        expected = f1_score(truth[drawn], predicted[drawn], average="weighted")
        assert sample == pytest.approx(expected, abs=1e-12)


def test_intervals_cover_the_true_score() -> None:
    rng = np.random.default_rng(1)
    expected = 0.7 + 0.3 / 4  # accuracy of a speaker of mean skill
    covered = 0
    for draw in range(200):
        truth, predicted, speakers = by_speaker(rng, 20, 25)
        found = intervals.bootstrap_interval(
            truth, predicted, speakers, 4, score=metrics.accuracy, resampling=intervals.Resampling(400, draw)
        )
        assert found.groups == 20 and found.low <= found.point <= found.high
        covered += found.low <= expected <= found.high
    assert 0.89 <= covered / 200 <= 0.99  # 95 % asked for


def test_clips_of_one_speaker_are_not_independent() -> None:
    truth, predicted, speakers = by_speaker(np.random.default_rng(2), 12, 100)
    grouped = intervals.bootstrap_interval(truth, predicted, speakers, 4)
    single = intervals.bootstrap_interval(truth, predicted, [None] * len(truth), 4)
    assert single.groups == 1200 and grouped.high - grouped.low > 1.5 * (single.high - single.low)


def test_unknown_speakers_are_their_own_groups() -> None:
    assert intervals.resampling_groups(["a", None, "a", None], 4).tolist() in ([2, 0, 2, 1], [2, 1, 2, 0])
    assert intervals.resampling_groups(["only"] * 3, 3).tolist() == [0, 1, 2]


def test_pairing_makes_the_difference_of_two_models_precise() -> None:
    rng = np.random.default_rng(3)
    truth, first, speakers = by_speaker(rng, 20, 60)
    second = np.where(rng.random(len(truth)) < 0.03, rng.integers(0, 4, size=len(truth)), first)
    found = intervals.paired_differences(truth, first, second, speakers, 4)
    assert found.point == pytest.approx(
        f1_score(truth, first, average="weighted") - f1_score(truth, second, average="weighted")
    )
    alone = intervals.bootstrap_interval(truth, first, speakers, 4)
    assert found.samples.std() < 0.3 * (alone.high - alone.low) / 4
    same = intervals.paired_differences(truth, first, first, speakers, 4)
    assert same.point == 0 and same.lower(0.95) == 0


def test_equal_seeds_give_equal_intervals_and_large_sets_are_quick() -> None:
    truth, predicted, speakers = by_speaker(np.random.default_rng(4), 1000, 20)
    started = time.perf_counter()
    first = intervals.bootstrap_interval(
        truth, predicted, speakers, 4, resampling=intervals.Resampling(seed=5)
    )
    assert time.perf_counter() - started < 5.0
    assert first == intervals.bootstrap_interval(
        truth, predicted, speakers, 4, resampling=intervals.Resampling(seed=5)
    )
    assert first != intervals.bootstrap_interval(
        truth, predicted, speakers, 4, resampling=intervals.Resampling(seed=6)
    )


def test_the_two_sided_interval_lies_around_the_point() -> None:
    truth = np.arange(80) % 2
    better, worse = truth.copy(), truth.copy()
    better[::10], worse[::4] = 1 - better[::10], 1 - worse[::4]
    speakers = [f"s{row % 8}" for row in range(80)]
    found = paired_differences(truth, better, worse, speakers, 2)
    low, high = found.interval(0.95)
    assert low < found.point < high
    assert low == pytest.approx(found.lower(0.975))
    assert high - found.point == pytest.approx(found.point - low)
    alone = replace(found, groups=1)
    assert alone.interval(0.95) == (-1.0, 1.0)
