from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mer.clips import CorpusEntry, Split
from mer.corpora import recognise
from mer.emotions import RAVDESS_EMOTIONS
from mer.errors import CorpusError
from mer.features.clip_feature import ClipFeature
from mer.features.shard import shard_of
from mer.quality.measure import ClipQuality
from mer.validation.check import check_corpus, check_features, check_quality

EMOTIONS = ("happy", "sad")


def entry(name: str, /, **changed: Any) -> CorpusEntry:
    values: dict[str, Any] = {"name": name, "media": Path(f"/corpus/{name}.mp4"), "emotion": "happy"}
    return CorpusEntry(**(values | changed))


def problems_of(entries: list[CorpusEntry]) -> str:
    with pytest.raises(CorpusError) as caught:
        check_corpus(entries, EMOTIONS)
    return str(caught.value)


def test_a_sound_corpus_passes() -> None:
    check_corpus(
        [
            entry("a", valence=-5.0, speaker="x", fold=0, transcript=""),
            entry("b", emotion=None, split=Split.UNLABELLED),
            entry("我的视频", emotion="sad", split=Split.TEST, valence=5.0, fold=4),
        ],
        EMOTIONS,
    )


def test_a_real_corpus_passes(shared_data: Path) -> None:
    found = recognise(shared_data / "data/ravdess", emotions=RAVDESS_EMOTIONS, name="ravdess")
    assert len(found.entries) == 1440
    check_corpus(found.entries, RAVDESS_EMOTIONS)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"emotion": "joyful"}, "clip b: emotion: expected: is one of happy, sad, found 'joyful'"),
        ({"valence": 5.5}, "clip b: valence: expected: lies in [-5, 5], found '5.5'"),
        ({"valence": float("inf")}, "lies in [-5, 5], found 'inf'"),
        ({"fold": -1}, "fold: expected: is a whole number >= 0"),
        ({"speaker": "  "}, "speaker: expected: is not blank"),
        ({"split": "exam"}, "found 'exam'"),
        ({"split": Split.UNLABELLED}, "clip b: expected: an unlabelled clip has no label"),
        ({"name": "a"}, "name: expected: occurs once, found 'a'"),
        ({"name": ""}, "name: expected: is not blank"),
        ({"name": "x" * 201}, "has at most 200 bytes"),
        ({"media": Path("/corpus/a.mp4")}, "media: expected: occurs once"),
    ],
)
def test_every_fault_of_a_row_is_told_with_its_clip(changed: dict[str, Any], words: str) -> None:
    assert words in problems_of([entry("a"), entry("b", **changed)])


def test_all_faults_come_together_and_long_lists_are_cut() -> None:
    message = problems_of([entry(f"clip{n:02d}", emotion="joyful", valence=9.0) for n in range(20)])
    assert message.count("clip0") == 10
    assert message.endswith("and 30 more")


def test_no_clips_are_no_corpus() -> None:
    assert "found none" in problems_of([])


def features(*values: Any, present: tuple[bool, ...] | None = None) -> tuple[Any, ...]:
    clips = [
        ClipFeature(np.atleast_2d(np.asarray(value, dtype=np.float32)), there)
        for value, there in zip(values, present or (True,) * len(values), strict=True)
    ]
    shard = shard_of([f"clip{n}" for n in range(len(clips))], clips)
    return shard.clip_ids, shard.values, shard.offsets, shard.present


def test_sound_features_pass() -> None:
    check_features(*features([1, 2], [[3, 4], [5, 6]], [0, 0], present=(True, True, False)))
    crops = np.zeros((2, 8, 4, 4, 3), np.uint8)
    check_features(("a", "b"), crops, np.array([0, 1, 2]), np.array([True, False]))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_told_with_their_clip(wrong: float) -> None:
    with pytest.raises(CorpusError) as caught:
        check_features(*features([1, 2], [[3, 4], [5, wrong]]))
    assert str(caught.value).splitlines()[1:] == [
        "  clip clip1: expected: has finite values within 1e15 only"
    ]


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        (0, ("clip0", "clip0"), "occurs once"),
        (2, np.array([0, 2, 3]), None),
        (2, np.array([1, 2, 3]), "begins where the clip before ends"),
        (2, np.array([0, 0, 3]), "has at least one row of values"),
        (2, np.array([0, 1, 2]), "offsets that end at 3"),
        (3, np.array([True, False]), "clip clip1: expected: an absent clip has zeros only"),
        (3, np.array([True]), "1 marks"),
    ],
)
def test_parts_that_do_not_fit_together(part: int, value: Any, words: str | None) -> None:
    parts = list(features([1, 2], [[3, 4], [5, 6]]))
    parts[part] = value
    if words is None:
        check_features(*parts)
        return
    with pytest.raises(CorpusError, match=words):
        check_features(*parts)


def test_quality_within_its_ranges() -> None:
    sound = ClipQuality(
        duration_seconds=3.0, speech_seconds=2.0, snr_db=None, face_share=1.0, brightness=None
    )
    check_quality({"a": sound, "b": sound})
    for wrong, words in (
        ({"speech_seconds": 4.0}, "nobody speaks longer than the clip lasts"),
        ({"snr_db": 90.0}, "snr_db: expected: lies in"),
        ({"face_share": 1.5}, "face_share: expected: lies in"),
        ({"brightness": -0.1}, "brightness: expected: lies in"),
    ):
        values = {
            "duration_seconds": 3.0,
            "speech_seconds": 2.0,
            "snr_db": 1.0,
            "face_share": 1.0,
            "brightness": 0.5,
        }
        with pytest.raises(CorpusError) as caught:
            check_quality({"a": sound, "b": ClipQuality(**(values | wrong))})  # type: ignore[arg-type]
        assert words in str(caught.value)
        assert "clip b" in str(caught.value)


def test_checks_cost_nothing_until_they_are_made() -> None:
    script = "import sys, mer.validation.check; assert 'pandas' not in sys.modules and 'pandera' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60, cwd=Path(__file__).parents[3])
