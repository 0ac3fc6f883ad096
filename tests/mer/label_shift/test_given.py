"""Class priors that a person gives: how they are read, and what they change of the answers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scored_clips import BIAS, SHIFTED, TRAINING, calibration, drawn, spoilt, target

from mer.emotions import MER_EMOTIONS
from mer.errors import ConfigError
from mer.label_shift.analysis import analyse_shift
from mer.label_shift.clip_sets import CalibrationClips, TargetClips
from mer.label_shift.config import LabelShiftConfig
from mer.label_shift.given import GivenAnalysis, analyse_given, checked_priors, parse_priors
from mer.label_shift.page import shift_line, shift_page

CONFIG = LabelShiftConfig(resamples=200, permutations=199)
TEXT = "neutral=.2, angry=0.22,happy=.2,sad=.31,worried=.05,surprise=.02"


def given(clips: TargetClips, prior: np.ndarray = SHIFTED, *, applied: bool = True) -> GivenAnalysis:
    known = calibration(2000)
    estimated = analyse_shift(known, clips, MER_EMOTIONS, CONFIG)
    return analyse_given(known, clips, prior / prior.sum(), estimated, MER_EMOTIONS, applied=applied)


def test_a_text_becomes_priors_in_the_order_of_the_classes() -> None:
    priors = checked_priors(parse_priors(TEXT), MER_EMOTIONS)
    assert priors.tolist() == pytest.approx([0.2, 0.22, 0.2, 0.31, 0.05, 0.02])
    rounded = checked_priors(parse_priors("b=.67,a=.34"), ("a", "b"))
    assert rounded.sum() == pytest.approx(1.0) and rounded[0] == pytest.approx(0.34 / 1.01)
    assert parse_priors("") == parse_priors(" , ") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", r"expected CLASS=SHARE, several with commas between \(neutral=\.2,.*found 'a'"),
        ("a=", "found 'a='"),
        ("=.2", "found '=.2'"),
        ("a=x", "found 'a=x'"),
        ("a=nan", "found 'a=nan'"),
        ("a=.5,a=.5", "every class once, found a twice"),
    ],
)
def test_texts_that_are_no_priors_are_one_error(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_priors(text)


@pytest.mark.parametrize(
    ("priors", "message"),
    [
        ({"a": 0.5, "b": 0.5, "c": 0.1}, r"expected the model's classes \(a, b\), found c"),
        ({"a": 1.0}, r"a share of every class \(a, b\), none of b"),
        ({"a": 1.0, "b": 0.0}, r"above 0, found b=0; a class that never comes .* give it a small share"),
        ({"a": 1.2, "b": -0.2}, "above 0, found b=-0.2"),
        ({"a": 0.5, "b": 0.2}, "sum to 1, found a sum of 0.7"),
        ({"a": 50, "b": 50}, "found a sum of 100; percent are a hundredth"),
    ],
)
def test_priors_that_are_not_of_these_classes_are_one_error(priors: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        checked_priors(priors, ("a", "b"))


def test_true_priors_make_answers_better_and_say_what_changes() -> None:
    exact, truth = drawn(SHIFTED, 4000, seed=5)
    found = given(TargetClips(spoilt(exact)))
    right = [(scores.argmax(axis=1) == truth).mean() for scores in (found.served, found.corrected)]
    assert right[1] > right[0] + 0.01 and found.support > 0
    summary = json.loads(json.dumps(found.to_json()))
    assert summary["estimator"] == "given" and summary["corrected"] and summary["test"]["p_value"] < 0.01
    changed = int((found.served.argmax(axis=1) != found.corrected.argmax(axis=1)).sum())
    assert summary["changed"] == changed > 50
    sad = next(entry for entry in summary["classes"] if entry["emotion"] == "sad")
    assert sad["given"] == pytest.approx(0.308) and sad["training_prior"] == pytest.approx(0.114, abs=0.03)
    assert sad["answers_corrected"] > sad["answers_served"] and 0 < sad["em"] < 1
    line = shift_line(summary)
    assert (
        line.startswith(f"label shift: priors given: {changed} of 4000 answers changed (") and "sad " in line
    )
    page = shift_page(summary, "given <x>")
    assert "<th>given</th>" in page and "given &lt;x&gt;" in page and "left alone" not in page


def test_one_clip_is_enough_and_nothing_is_estimated_of_it() -> None:
    found = given(target(SHIFTED, 1))
    summary = found.to_json()
    assert summary["clips"] == 1 and "1 target clips" in summary["reason_not_estimated"]
    assert "Nothing was estimated: 1 target clips" in shift_page(summary, "x")
    # posterior odds move by the ratio of the priors, of logits that the calibration has put right
    shift = found.corrected - found.served
    assert shift.shape == (1, 6)
    expected = np.log(SHIFTED / SHIFTED.sum() / TRAINING)
    moved = found.corrected[0] - (spoilt(drawn(SHIFTED, 1, 2)[0])[0] / 2 - BIAS)
    assert (moved - moved.mean()).tolist() == pytest.approx((expected - expected.mean()).tolist(), abs=0.35)


def test_the_training_priors_change_hardly_anything_and_wrong_ones_are_said() -> None:
    clips = target(TRAINING, 3000)
    same = given(clips, calibration(2000).shares)
    assert same.support == pytest.approx(0.0)
    wrong = given(clips, np.array([0.01, 0.01, 0.01, 0.01, 0.01, 0.95]), applied=False)
    line = shift_line(wrong.to_json())
    assert "priors given, not corrected: " in line and " would change (" in line
    assert line.endswith("fit the training priors better than those given") and wrong.support < 0


def test_a_class_without_labelled_clips_has_no_training_prior() -> None:
    known = calibration(500)
    few = CalibrationClips(known.logits[known.truth != 5], truth=known.truth[known.truth != 5])
    clips = target(SHIFTED, 5)
    with pytest.raises(ConfigError, match="none of surprise: what their prior was in training is not known"):
        analyse_given(few, clips, SHIFTED, analyse_shift(few, clips, MER_EMOTIONS, CONFIG), MER_EMOTIONS)
