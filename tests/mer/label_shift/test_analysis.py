"""Answers are corrected only where that is asked for and the test says shift; both are always reported."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scored_clips import SHIFTED, TRAINING, calibration, drawn, spoilt, target

from mer.emotions import MER_EMOTIONS
from mer.errors import ConfigError
from mer.label_shift.analysis import NoAnalysis, ShiftAnalysis, analyse_shift
from mer.label_shift.clip_sets import CalibrationClips, TargetClips
from mer.label_shift.config import LabelShiftConfig, ShiftMode
from mer.label_shift.page import shift_line, shift_page
from mer.label_shift.scored import shift_summary

QUICK = {"resamples": 200, "permutations": 199}


def analysed(prior: np.ndarray, mode: ShiftMode, **options: object) -> ShiftAnalysis:
    config = LabelShiftConfig.model_validate({"mode": mode, **QUICK, **options})
    found = analyse_shift(calibration(1000), target(prior, 1500), MER_EMOTIONS, config)
    assert isinstance(found, ShiftAnalysis)
    return found


@pytest.mark.parametrize("mode", ["report", "correct-if-shifted"])
@pytest.mark.parametrize("shifted", [True, False])
def test_the_test_decides(mode: ShiftMode, shifted: bool) -> None:
    found = analysed(SHIFTED if shifted else TRAINING, mode)
    assert found.shifted is shifted
    assert found.applied is (shifted and mode == "correct-if-shifted")
    np.testing.assert_array_equal(found.answers, found.corrected if found.applied else found.served)
    assert found.changed.any(), "the correction changes nothing: the test shows nothing"


@pytest.mark.parametrize("estimator", ["em", "bbse_soft", "bbse_hard"])
def test_every_estimator_can_correct(estimator: str) -> None:
    found = analysed(SHIFTED, "correct-if-shifted", estimator=estimator)
    exact, truth = drawn(SHIFTED, 1500, seed=2)
    right = [(scores.argmax(axis=1) == truth).mean() for scores in (found.served, found.corrected, exact)]
    assert right[1] > right[0] and right[1] > right[2] - 0.01


def test_the_summary_is_json_with_both_priors() -> None:
    found = analysed(SHIFTED, "report")
    summary = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert (summary["shifted"], summary["corrected"], summary["clips"]) == (True, False, 1500)
    assert summary["changed"] == int((found.served.argmax(axis=1) != found.corrected.argmax(axis=1)).sum())
    for key, total in (("training_prior", 1), ("em", 1), ("answers_served", 1), ("answers_corrected", 1)):
        assert sum(entry[key] for entry in summary["classes"]) == pytest.approx(total)
    sad = next(entry for entry in summary["classes"] if entry["emotion"] == "sad")
    assert sad["training_prior"] < 0.14 < sad["em_low"] < sad["em"] < sad["em_high"]
    assert summary["test"]["p_value"] == pytest.approx(1 / 200)


def test_the_page_and_the_line_say_what_was_done() -> None:
    line = shift_line(analysed(SHIFTED, "correct-if-shifted").to_json())
    assert line.startswith("label shift: p = 0.0050 (shift); corrected: ") and line.endswith(
        "answers changed"
    )
    assert "not corrected (it would change" in shift_line(analysed(TRAINING, "report").to_json())
    page = shift_page(analysed(SHIFTED, "report").to_json(), "<script>alert(1)</script>")
    assert "<script>" not in page and "&lt;script&gt;" in page
    assert all(f"<td>{emotion}</td>" in page for emotion in MER_EMOTIONS)


def test_classes_that_look_different_are_no_label_shift() -> None:
    exact, _ = drawn(SHIFTED, 3000, seed=2)
    blurred = 0.5 * spoilt(exact)  # as in noise: the classifier is less sure of every class
    config = LabelShiftConfig.model_validate({"mode": "correct-if-shifted", **QUICK})
    found = analyse_shift(calibration(1000), TargetClips(blurred), MER_EMOTIONS, config)
    assert isinstance(found, ShiftAnalysis)
    assert found.shifted and not found.consistent and not found.applied
    assert "but EM and BBSE differ by" in shift_line(found.to_json())
    assert analysed(SHIFTED, "report").disagreement < 0.1 < found.disagreement


def test_too_little_to_tell_leaves_answers_as_they_are() -> None:
    config = LabelShiftConfig(mode="correct-if-shifted")
    few = analyse_shift(calibration(1000), target(SHIFTED, 20), MER_EMOTIONS, config)
    assert isinstance(few, NoAnalysis) and "20 target clips: expected at least 100" in few.reason
    own = calibration(1000)
    keep = own.truth != 5
    without = analyse_shift(
        CalibrationClips(own.logits[keep], truth=own.truth[keep]), target(SHIFTED, 500), MER_EMOTIONS, config
    )
    assert isinstance(without, NoAnalysis) and "surprise" in without.reason
    assert without.to_json() == {"available": False, "reason": without.reason, "corrected": False}
    assert shift_line(without.to_json()).startswith("label shift: not estimated: ")


def test_labels_are_read_for_scores_alone() -> None:
    exact, truth = drawn(SHIFTED, 6000, seed=2)
    config = LabelShiftConfig.model_validate(QUICK)
    asked = TargetClips(spoilt(exact), tuple(str(row % 30) for row in range(6000)))
    scored = shift_summary(calibration(1000), asked, MER_EMOTIONS, config, truth)
    wrong = shift_summary(calibration(1000), asked, MER_EMOTIONS, config, np.roll(truth, 1))
    scores = scored.pop("scores")
    assert scores["waf_corrected"] > scores["waf_served"]
    assert scores["difference_low"] < scores["difference"] < scores["difference_high"]
    assert wrong.pop("scores")["waf_served"] < scores["waf_served"]
    assert wrong == scored == shift_summary(calibration(1000), asked, MER_EMOTIONS, config)


def test_sets_that_do_not_fit_are_refused() -> None:
    logits = np.zeros((3, 6))
    with pytest.raises(ConfigError, match="finite"):
        TargetClips(np.full((3, 6), np.nan))
    with pytest.raises(ConfigError, match="3 speakers"):
        TargetClips(logits, ("a",))
    with pytest.raises(ConfigError, match="3 labels"):
        CalibrationClips(logits, truth=np.zeros(2, dtype=np.int64))
