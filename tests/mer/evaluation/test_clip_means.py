from __future__ import annotations

import numpy as np
import pytest

from mer.errors import ConfigError
from mer.evaluation.clip_means import resampled_mean
from mer.evaluation.intervals import Resampling, paired_differences
from mer.evaluation.metrics import accuracy


def test_equals_the_resampled_accuracy_where_values_are_right_answers() -> None:
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 3, 90), rng.integers(0, 3, 90)
    speakers = [f"s{row % 7}" for row in range(90)]
    wrong = np.full(90, 3)  # a class that is never true: of the difference the first model's accuracy is left
    known = paired_differences(
        truth, predicted, wrong, speakers, 4, score=accuracy, resampling=Resampling(seed=4)
    )
    found = resampled_mean((truth == predicted).astype(np.float64), speakers, seed=4)
    assert found.point == pytest.approx(known.point) and found.groups == 7
    np.testing.assert_allclose(found.samples, known.samples)


def test_covers_the_mean_of_speakers_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    speakers = [f"s{row // 20}" for row in range(240)]
    covered = 0
    for _ in range(200):
        values = np.repeat(rng.normal(size=12), 20) + rng.normal(size=240)
        low, high = resampled_mean(values, speakers, resamples=400).interval(0.95)
        covered += low <= 0 <= high
    assert 0.90 <= covered / 200 <= 1.0


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="2 clips, 1 speakers"):
        resampled_mean(np.zeros(2), ["a"])
