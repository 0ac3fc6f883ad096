"""Scores are scikit-learn's; intervals resample speakers; wrong arguments say what was expected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_arrays import Made
from sklearn.metrics import balanced_accuracy_score, f1_score

import mer
from mer.errors import ConfigError


def test_scores_are_those_of_scikit_learn(made: Made) -> None:
    predictions = np.where(np.arange(120) % 4 == 0, np.roll(made.labels, 1), made.labels)
    scores = mer.score(made.labels, pd.Series(predictions), made.speakers)
    assert scores.accuracy == pytest.approx((predictions == made.labels).mean())
    assert scores.uar == pytest.approx(balanced_accuracy_score(made.labels, predictions))
    assert scores.waf == pytest.approx(f1_score(made.labels, predictions, average="weighted"))
    assert scores.macro_f1 == pytest.approx(f1_score(made.labels, predictions, average="macro"))
    assert scores.intervals["accuracy"][0] < scores.accuracy < scores.intervals["accuracy"][1]
    assert "95 % interval, 8 speakers resampled" in str(scores) and "UAR" in str(scores)


def test_intervals_are_wider_where_speakers_fail_together() -> None:
    labels, right = np.arange(200) % 2, np.repeat(np.arange(20) % 4 > 0, 10)
    predictions, speakers = np.where(right, labels, 1 - labels), np.repeat(np.arange(20), 10)
    by_speaker = mer.score(labels, predictions, speakers).intervals["accuracy"]
    by_clip = mer.score(labels, predictions, np.arange(200)).intervals["accuracy"]
    assert by_speaker[1] - by_speaker[0] > 2 * (by_clip[1] - by_clip[0])


def test_unlabelled_clips_are_left_out_and_no_speakers_give_no_intervals() -> None:
    scores = mer.score(["a", None, "b", ""], ["a", "b", "a", None])
    assert scores.clips == 2 and scores.accuracy == 0.5 and scores.intervals == {}
    assert "interval" not in str(scores)
    with pytest.warns(UserWarning, match="-1 stands for no label"):
        assert mer.score([1, 1, -1], [1, 1, 0]).accuracy == 1
    assert mer.score([2, 2, -1], [2, 2, 0]).accuracy == 1
    assert mer.score(["a", "a"], ["a", "a"]).waf == 1  # one class alone is no fault
    assert mer.score(["a", "a", "b"], ["a", "b", "b"], ["x", None, "y"]).resampled == (
        "3 speakers and clips of unknown speakers"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["a", "b"], ["a"]), "predictions: expected 2, one per label, found 1"),
        (
            (["a", "b"], np.eye(2)),
            r"expected \(N,\) labels, found shape \(2, 2\); of probabilities take the likeliest",
        ),
        ((np.eye(2), ["a", "b"]), "found soft labels"),
        ((["a", "b"], [0, 1]), "strings or whole numbers, found both"),
        ((["a", "b"], ["a", None]), "expected one for every labelled clip, found 1 labelled clips without"),
        (([None, ""], ["a", "b"]), "at least one labelled clip, found none among 2"),
        ((["a", "b"], ["a", "b"], ["x"]), "speakers: expected 2 values"),
        (("a", "b"), "expected an array, found str 'b'"),
    ],
)
def test_wrong_arguments_say_what_was_expected(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mer.score(*arguments)


def test_confidence_is_a_share() -> None:
    with pytest.raises(ConfigError, match=r"confidence: expected a value in \(0, 1\), found 95"):
        mer.score(["a", "b"], ["a", "b"], ["x", "y"], confidence=95)


@pytest.mark.parametrize(
    "option",
    [{"confidence": "high"}, {"resamples": 0}, {"resamples": 2.5}, {"resamples": "many"}, {"seed": -1}],
)
def test_options_out_of_range_are_named(option: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(option))}: expected a "):
        mer.score(["a", "b"], ["a", "b"], ["x", "y"], **option)
