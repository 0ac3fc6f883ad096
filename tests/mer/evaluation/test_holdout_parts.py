"""The holdout is scored as a whole and by its named parts."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from mer.evaluation.report import EvaluationReport, evaluate_systems
from mer.examples import Examples
from mer.posteriors import Posteriors

EMOTIONS = ("angry", "sad")


def examples(clips: int) -> Examples:
    return Examples(
        clip_ids=tuple(f"c{row:02}" for row in range(clips)),
        emotion=np.arange(clips) % 2,
        valence=np.full(clips, np.nan, dtype=np.float32),
        speaker=tuple(f"s{row // 2}" for row in range(clips)),
        fold=np.where(np.arange(clips) < 20, np.arange(clips) // 2 % 2, -1),
        weight=np.ones(clips, dtype=np.float32),
    )


def posteriors(known: Examples, rows: range, wrong: set[int]) -> Posteriors:
    said = np.array([known.emotion[row] ^ (row in wrong) for row in rows])
    logits = np.where(np.arange(2)[None] == said[:, None], 2.0, 0.0).astype(np.float32)
    return Posteriors(
        tuple(known.clip_ids[row] for row in rows), logits, np.full(len(rows), np.nan, np.float32)
    )


@pytest.fixture
def report() -> EvaluationReport:
    """20 clips of the folds, 20 of the holdout: c20 to c27 in test1 (all right), c28 to c35 in test2 (half wrong), 4 in none."""
    known = examples(40)
    parts = {
        "test1": [f"c{row}" for row in range(20, 28)],
        "test2": [f"c{row}" for row in range(28, 36)],
        "test3": ["c99"],
    }
    return evaluate_systems(
        known,
        {"fused": posteriors(known, range(20), {3})},
        posteriors(known, range(20, 40), {28, 29, 30, 31}),
        EMOTIONS,
        served="fused",
        parts=parts,
    )


def test_each_part_has_scores_with_intervals(report: EvaluationReport) -> None:
    assert report.holdout is not None and report.holdout["clips"] == 20
    assert set(report.holdout_parts) == {"test1", "test2"}, "a part without a prediction has no scores"
    first, second = report.holdout_parts["test1"], report.holdout_parts["test2"]
    assert (first["clips"], first["accuracy"], first["waf"]) == (8, 1.0, 1.0)
    assert (second["clips"], second["accuracy"]) == (8, 0.5)
    assert second["waf_low"] <= second["waf"] <= second["waf_high"]
    assert report.holdout["accuracy"] == 0.8
    assert report.to_json()["holdout_parts"] == report.holdout_parts


def test_the_figures_of_a_part_have_names_of_their_own(report: EvaluationReport) -> None:
    assert report.headline["holdout_accuracy"] == 0.8
    assert report.headline["holdout.test1.waf"] == 1.0
    assert report.headline["holdout.test2.accuracy"] == 0.5
    assert "holdout.test2.waf_low" in report.headline
    assert all(isinstance(value, float) and math.isfinite(value) for value in report.headline.values())


def test_without_parts_there_are_none() -> None:
    known = examples(30)
    report = evaluate_systems(
        known, {"fused": posteriors(known, range(20), {3})}, posteriors(known, range(20, 30), set()), EMOTIONS,
        served="fused",
    )  # fmt: skip
    assert report.holdout_parts == {} and not any("." in name for name in report.headline)


def test_a_class_that_no_clip_has_has_no_recall() -> None:
    known = examples(20)
    said, none = (
        replace(item, logits=np.pad(item.logits, ((0, 0), (0, 1))))
        for item in (posteriors(known, range(20), set()), posteriors(known, range(0), set()))
    )
    report = evaluate_systems(known, {"fused": said}, none, (*EMOTIONS, "worried"), served="fused")
    assert report.systems[0]["recall"] == {EMOTIONS[0]: 1.0, EMOTIONS[1]: 1.0, "worried": None}
