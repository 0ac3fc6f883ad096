"""What is said of the quality columns of a corpus as a whole."""

from __future__ import annotations

from mer.quality.measure import ClipQuality
from mer.quality.summary import COLUMNS, summaries, worst_clips


def clip(duration: float, face: float | None = None, brightness: float | None = 0.5) -> ClipQuality:
    return ClipQuality(
        duration_seconds=duration, speech_seconds=None, snr_db=None, face_share=face, brightness=brightness
    )


MEASURED = {
    "a": clip(1, 0.0),
    "b": clip(2, 1.0),
    "c": clip(3),
    "d": clip(4, 0.5),
    "e": clip(5, 0.0),
    "f": None,
}


def test_quartiles_and_what_is_missing() -> None:
    rows = {row.column: row for row in summaries(MEASURED)}
    assert tuple(rows) == COLUMNS
    duration, face = rows["duration_seconds"], rows["face_share"]
    assert (duration.minimum, duration.lower_quartile, duration.median, duration.upper_quartile, duration.maximum) == (
        1, 2, 3, 4, 5
    )  # fmt: skip
    assert (duration.clips, duration.missing) == (5, 1)
    assert (face.minimum, face.median, face.maximum, face.clips, face.missing) == (0.0, 0.25, 1.0, 4, 2)


def test_a_column_without_values_has_no_figures() -> None:
    speech = {row.column: row for row in summaries(MEASURED)}["speech_seconds"]
    assert (speech.clips, speech.missing, speech.minimum, speech.median, speech.maximum) == (
        0,
        6,
        None,
        None,
        None,
    )
    assert summaries({})[0].missing == 0


def test_the_worst_have_the_lowest_values() -> None:
    assert worst_clips(MEASURED, "face_share", 3) == (("a", 0.0), ("e", 0.0), ("d", 0.5))
    assert worst_clips(MEASURED, "speech_seconds", 3) == ()
    assert worst_clips(MEASURED, "duration_seconds", 0) == ()
