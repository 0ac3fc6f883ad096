"""What the benchmarks that run `mer run` make of a corpus, and of its report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.ravdess.emobox import FOLDS, class_of, in_emobox_fold, labels_of, scored, silent_words
from benchmarks.ravdess.flow import figures_of, quick_row
from benchmarks.ravdess.subset import copied_corpus


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "all" / "audio").mkdir(parents=True)
    names = [f"03-01-01-01-{statement}-01-{actor:02}" for statement in ("01", "02") for actor in range(1, 25)]
    lines = ["name,emotion,speaker,fold", *(f"{name},calm,actor_{name[-2:]},4" for name in names)]
    (tmp_path / "all" / "labels.csv").write_text("\n".join(lines) + "\n")
    for name in names:
        (tmp_path / "all" / "audio" / f"{name}.flac").write_bytes(b"x")
    return tmp_path / "all"


def test_every_speaker_is_tested_once() -> None:
    assert sorted(actor for fold in FOLDS for actor in fold) == list(range(1, 25))


def test_the_table_has_the_folds_and_the_clips_are_files_of_the_corpus(root: Path, tmp_path: Path) -> None:
    corpus = copied_corpus(root, tmp_path / "made", quick_row, in_emobox_fold)
    rows = labels_of(corpus)
    assert len(rows) == 24 == len(list((corpus / "audio").iterdir()))
    assert {row["speaker"] for row in rows.values() if row["fold"] == "1"} == {
        f"actor_{n:02}" for n in (4, 10, 12, 14)
    }
    clips = [corpus / "audio" / f"{name}.flac" for name in rows]
    assert all(clip.read_bytes() == b"x" and not clip.is_symlink() for clip in clips), (
        "ingestion follows none"
    )


def test_streams_that_are_not_of_sound_are_left_out_where_there_are_any() -> None:
    assert silent_words("demo", []) == ["--set", "streams.visual=null", "--set", "streams.lexical=null"]
    assert silent_words("demo", ["lexical=null"]) == ["--set", "streams.visual=null"]


def test_labels_are_read_as_ingestion_reads_them() -> None:
    spelt = ["neutral", "fear", "fearful", "surprise", "Happy"]
    assert [class_of({"emotion": label}) for label in spelt] == [0, 5, 5, 7, 2]


def test_ua_is_the_mean_over_folds_of_the_mean_class_recall() -> None:
    speakers = ["actor_01"] * 4 + ["actor_04"] * 4
    emotion, predicted = np.array([0, 0, 0, 1, 0, 0, 1, 1]), np.array([0, 0, 0, 0, 0, 0, 1, 1])
    found = scored(emotion, predicted, speakers)
    assert found["ua_folds"] == [0.5, 1.0] and found["ua"] == 0.75
    assert found["wa_folds"] == [0.75, 1.0] and found["wa"] == 0.875


def test_every_system_of_the_report_has_its_figures() -> None:
    row = {
        "system": "ensemble/a+pseudo", "accuracy_folds": [0.5, 0.7], "waf": 0.6, "waf_low": 0.5, "waf_high": 0.7,
        "accuracy_low": 0.4, "accuracy_high": 0.8,
    }  # fmt: skip
    differences = [
        {"system": "ensemble", "minus": other, "accuracy": value}
        for other, value in (("frozen", -0.03), ("logistic", 0.01))
    ]
    figures = figures_of({"served": "ensemble", "systems": [row], "differences": differences})
    assert figures["ensemble_minus_frozen_accuracy"] == -0.03
    assert figures["ensemble_minus_logistic_accuracy"] == 0.01
    assert figures["ensemble_a_pseudo_accuracy_mean"] == pytest.approx(0.6)
    assert figures["served"] == "ensemble"
