from __future__ import annotations

import pytest
from pydantic import ValidationError

from mer.quality.filters import QualityFilter
from mer.quality.measure import ClipQuality


def quality(**changed: float | None) -> ClipQuality:
    values: dict[str, float | None] = {
        "duration_seconds": 3.0,
        "speech_seconds": 2.0,
        "snr_db": 20.0,
        "face_share": 1.0,
        "brightness": 0.5,
    }
    return ClipQuality(**(values | changed))  # type: ignore[arg-type]


def test_without_bounds_every_clip_is_kept() -> None:
    report = QualityFilter(unknown="leave_out").apply({"a": quality(), "b": None})
    assert (report.passed, report.left_out) == (("a", "b"), {})
    assert str(report) == "0 of 2 clips left out"


@pytest.mark.parametrize(
    ("bound", "value"),
    [
        ("min_duration_seconds", 3.1),
        ("max_duration_seconds", 2.9),
        ("min_speech_seconds", 2.1),
        ("min_snr_db", 20.1),
        ("min_brightness", 0.51),
        ("max_brightness", 0.49),
    ],
)
def test_every_bound_leaves_out_what_it_says(bound: str, value: float) -> None:
    assert QualityFilter(**{bound: value}).failures(quality()) == (bound,)  # type: ignore[arg-type]


def test_a_bound_itself_is_inside() -> None:
    bounds = QualityFilter(
        min_duration_seconds=3, max_duration_seconds=3, min_speech_seconds=2, min_snr_db=20, min_face_share=1
    )
    assert bounds.failures(quality()) == ()


def test_the_report_says_how_many_and_why() -> None:
    report = QualityFilter(min_snr_db=10, min_face_share=0.5).apply(
        {
            "good": quality(),
            "noisy": quality(snr_db=3.0),
            "noisy and turned away": quality(snr_db=0.0, face_share=0.25),
        }
    )
    assert report.passed == ("good",)
    assert report.left_out == {
        "noisy": ("min_snr_db",),
        "noisy and turned away": ("min_snr_db", "min_face_share"),
    }
    assert report.counts == {"min_snr_db": 2, "min_face_share": 1}
    assert str(report) == "2 of 3 clips left out (min_snr_db: 2, min_face_share: 1)"


def test_clips_without_the_value_are_kept_unless_told_otherwise() -> None:
    """An audio-only clip has no face: that is no fault of its speech."""
    clips = {"audio only": quality(face_share=None, brightness=None), "not measured": None, "good": quality()}
    assert len(QualityFilter(min_face_share=0.5).apply(clips).passed) == 3
    strict = QualityFilter(min_face_share=0.5, unknown="leave_out").apply(clips)
    assert strict.passed == ("good",)
    assert strict.counts == {"unmeasured": 2}


@pytest.mark.parametrize("wrong", [{"min_face_share": 1.5}, {"min_snr": 3}, {"unknown": "maybe"}])
def test_bounds_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        QualityFilter.model_validate(wrong)
