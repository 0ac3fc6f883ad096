"""The study on made clips whose truth is known: what is shared, who speaks, and what the labels are of."""

from __future__ import annotations

import json

import pytest
from made_clips import CONFIG, made

from mer.alignment.config import AlignmentConfig, AlignmentStudyConfig
from mer.alignment.study import StudiedClips, ViewStudy, fitted, study_view
from mer.alignment.study_report import summarised, table_lines

STUDY = AlignmentStudyConfig(control_seeds=4, permutations=200)


def studied(clips: StudiedClips, config: AlignmentConfig = CONFIG, seed: int = 1) -> ViewStudy:
    return study_view("fold0", clips, fitted(clips, config.model_copy(update={"seed": seed})), STUDY)


def test_what_is_shared_is_found_and_the_controls_stay_at_chance() -> None:
    found = studied(made(shared=1.0, spoken=0.3))
    assert ViewStudy(**json.loads(json.dumps(found.to_json()))) == found
    figures = summarised([found], STUDY)
    assert figures["retrieval_clips"] == 75 and figures["within_speaker_clips"] == 75
    for prefix, chance in (("", 1 / 75), ("within_speaker_", 1 / 25)):
        assert figures[f"{prefix}chance_r1"] == pytest.approx(chance)
        assert figures[f"{prefix}r10"] > 1.5 * 10 * chance and figures[f"{prefix}r10_p"] < 0.01
        assert (
            figures[f"control_all_{prefix}r10_low"] <= 10 * chance <= figures[f"control_all_{prefix}r10_high"]
        )
        for kind in ("all", "speaker"):
            assert figures[f"control_{kind}_{prefix}r10"] < 0.75 * figures[f"{prefix}r10"]
    assert figures["alignment"] < figures["strangers_distance"] - 0.2
    assert figures["probe_clips"] == (made(1.0, 0.3).emotion[-75:] >= 0).sum()
    assert min(figures["probe_raw"], figures["probe_aligned"]) > 0.85
    assert (
        figures["probe_aligned_gain_low"] < figures["probe_aligned_gain"] < figures["probe_aligned_gain_high"]
    )
    assert 0.3 < figures["control_all_probe"] < 1.0 and figures["control_all_probe_fits"] == 4
    assert figures["zero_shot_chance"] == 0.5 and figures["zero_shot_low"] < figures["zero_shot"]
    for count in (1, 2, 4, 8):
        name = f"few_{count}"
        assert figures[f"{name}_gain"] == pytest.approx(
            figures[f"{name}_aligned"] - figures[f"{name}_raw"], abs=1e-5
        )
    assert figures["few_8_raw"] > figures["few_1_raw"]
    assert figures["control_all_few_1_gain_low"] < 0.1 and "control_all_few_2_gain" not in figures
    text = "\n".join(table_lines(figures))
    assert "pairs shuffled (4 fits)" in text and "within speakers" in text and "raw + aligned" in text
    assert "aligned, pairs shuffled" in text
    assert "labelled speakers" in text and "zero-shot accuracy" in text and "1, pairs shuffled" in text
    assert max(map(len, table_lines(figures))) <= 80


def test_who_speaks_alone_shows_in_the_control_within_speakers_and_is_no_gain_within_them() -> None:
    figures = summarised([studied(made(shared=0.0, spoken=1.5))], STUDY)
    assert figures["r10"] > 1.5 * figures["chance_r10"]
    assert figures["control_speaker_r10_low"] > figures["chance_r10"], (
        "the shortcut is not seen by its control"
    )
    assert figures["within_speaker_r10"] < 1.3 * figures["within_speaker_chance_r10"]
    assert figures["within_speaker_r10_p"] > 0.01


def test_standardised_targets_hide_who_speaks() -> None:
    hidden = CONFIG.model_copy(update={"standardise_anchor": "speaker"})
    figures = summarised([studied(made(shared=0.0, spoken=1.5), hidden)], STUDY)
    assert figures["control_speaker_r10"] < 1.4 * figures["chance_r10"]


def test_unknown_speakers_leave_out_what_needs_them() -> None:
    figures = summarised([studied(made(1.0, 0.3, known=False))], STUDY)
    assert "within_speaker_r1" not in figures and "control_speaker_r1" not in figures
    assert "control_all_r1" in figures
    assert any("speakers unknown" in line for line in table_lines(figures))


def test_without_control_and_probe_neither_is_there() -> None:
    bare = AlignmentStudyConfig(control=False, probe=False, permutations=100, gallery=20)
    clips = made(1.0, 0.3)
    figures = summarised([study_view("a", clips, fitted(clips, CONFIG), bare)], bare)
    assert figures["retrieval_clips"] == 20
    assert not [name for name in figures if name.startswith(("control", "probe"))]
