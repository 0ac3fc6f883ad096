"""The study on made clips whose truth is known: what is shared, who speaks, and what the labels are of."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mer.alignment.config import AlignmentConfig, AlignmentStudyConfig
from mer.alignment.groups import ClipGroups
from mer.alignment.study import StudiedClips, ViewStudy, fitted, mean_of_seeds, study_view
from mer.alignment.study_report import as_json, summarised, table_lines

CONFIG = AlignmentConfig(
    embedding_size=16,
    hidden_size=32,
    epochs=15,
    batch_size=64,
    dropout=0.2,
    acoustic_components=12,
    patience=5,
)
STUDY = AlignmentStudyConfig(control_seeds=4, permutations=200)
SPEAKERS, EACH = 12, 25


def made(shared: float, spoken: float, seed: int = 0, known: bool = True) -> StudiedClips:
    """300 clips of 12 speakers; `shared` directions between face and voice, `spoken` ones of the speaker alone.

    A speaker's voice is a fixed linear map of the speaker's face, so that it also leads on speakers never seen.
    """
    rng = np.random.default_rng(seed)
    count = SPEAKERS * EACH
    who = np.repeat(np.arange(SPEAKERS), EACH)
    person = rng.normal(size=(SPEAKERS, 4))[who]
    said = rng.normal(size=(count, 4))
    visual = shared * said @ rng.normal(size=(4, 20)) + spoken * person @ rng.normal(size=(4, 20))
    acoustic = shared * said @ rng.normal(size=(4, 30)) + spoken * person @ rng.normal(size=(4, 30))
    names = [f"s{number}" if known else None for number in who]
    return StudiedClips(
        visual=(visual + 0.2 * rng.normal(size=visual.shape)).astype(np.float32),
        acoustic=(acoustic + 0.2 * rng.normal(size=acoustic.shape)).astype(np.float32),
        groups=ClipGroups.of_speakers(names),
        emotion=np.where(rng.random(count) < 0.2, -1, (said[:, 0] > 0).astype(np.int64)),
        train=who < 7,
        validation=(who >= 7) & (who < 9),
        scored=who >= 9,
    )


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
    text = "\n".join(table_lines(figures))
    assert "pairs shuffled (4 fits)" in text and "within speakers" in text and "raw + aligned" in text
    assert "aligned, pairs shuffled" in text
    assert max(map(len, table_lines(figures))) <= 120


def test_who_speaks_alone_shows_in_the_control_within_speakers_and_is_no_gain_within_them() -> None:
    figures = summarised([studied(made(shared=0.0, spoken=1.5))], STUDY)
    assert figures["r10"] > 1.5 * figures["chance_r10"]
    assert figures["control_speaker_r10_low"] > figures["chance_r10"], (
        "the shortcut is not seen by its control"
    )
    assert figures["within_speaker_r10"] < 1.3 * figures["within_speaker_chance_r10"]
    assert figures["within_speaker_r10_p"] > 0.01


def test_standardised_targets_hide_who_speaks() -> None:
    hidden = CONFIG.model_copy(update={"standardise_acoustic": "speaker"})
    figures = summarised([studied(made(shared=0.0, spoken=1.5), hidden)], STUDY)
    assert figures["control_speaker_r10"] < 1.4 * figures["chance_r10"]


def test_unknown_speakers_leave_out_what_needs_them() -> None:
    figures = summarised([studied(made(1.0, 0.3, known=False))], STUDY)
    assert "within_speaker_r1" not in figures and "control_speaker_r1" not in figures
    assert "control_all_r1" in figures
    assert any("speakers unknown" in line for line in table_lines(figures))


def test_seeds_and_views_are_put_together() -> None:
    plain = AlignmentStudyConfig(control_seeds=2, permutations=100)
    clips = made(1.0, 0.3)
    seeds = [
        study_view(
            "fold0", clips, fitted(clips, CONFIG.model_copy(update={"seed": seed, "epochs": 3})), plain
        )
        for seed in (1, 2)
    ]
    both = mean_of_seeds(seeds)
    assert both.figures["video_to_audio_r5"] == pytest.approx(
        np.mean([one.figures["video_to_audio_r5"] for one in seeds])
    )
    assert len(both.controls["all"]) == 4
    assert seeds[0].controls["all"] != seeds[1].controls["all"], (
        "controls of different seeds are the same fits"
    )
    assert set(both.probe["raw"]) <= {0.0, 1.0}  # what was there before does not depend on the seed
    other = study_view("fold1", clips, fitted(clips, CONFIG.model_copy(update={"epochs": 3})), plain)
    pooled = summarised([both, mean_of_seeds([other, other])], plain)
    assert pooled["retrieval_clips"] == 150 and pooled["views"] == 2
    middle = np.mean([np.mean(np.array(one.hits)[:, 0]) for one in (both, other)])
    assert pooled["r1"] == pytest.approx(middle, abs=1e-5)
    assert pooled["control_all_r1_fits"] == 4
    assert as_json([both], pooled)["figures"]["views"] == 2


def test_without_control_and_probe_neither_is_there() -> None:
    bare = AlignmentStudyConfig(control=False, probe=False, permutations=100, gallery=20)
    clips = made(1.0, 0.3)
    figures = summarised([study_view("a", clips, fitted(clips, CONFIG), bare)], bare)
    assert figures["retrieval_clips"] == 20
    assert not [name for name in figures if name.startswith(("control", "probe"))]
