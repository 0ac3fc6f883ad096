"""MERTools' process layout, as its preprocessing scripts leave it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpus_layouts import labels, mer2023_process, table, touch, vectors

from mer.clips import CorpusEntry, Split
from mer.corpora import RecognisedCorpus, recognise
from mer.corpora.options import ReadingOptions
from mer.emotions import MER_EMOTIONS
from mer.errors import CorpusError, QuarantineReason

MELD_ORDER = ("anger", "joy", "sadness", "neutral", "disgust", "fear", "surprise")


def entries(found: RecognisedCorpus) -> dict[str, CorpusEntry]:
    return {entry.name: entry for entry in found.entries}


def test_mer2023(tmp_path: Path) -> None:
    found = recognise(mer2023_process(tmp_path), emotions=MER_EMOTIONS)
    assert found.format == "mertools"
    assert found.feature_sets == ("chinese-hubert-large-UTT",)
    clips = entries(found)
    assert clips["sample_00000001"] == CorpusEntry(
        name="sample_00000001",
        media=tmp_path / "video/sample_00000001.avi",
        emotion="angry",
        valence=-2.5,
        transcript="你好, 世界",
        split=Split.TRAIN,
    )
    assert clips["sample_00000002"].transcript is None
    assert [clips[f"sample_0000000{n}"].split for n in range(2, 7)] == [
        Split.TRAIN, Split.TEST, Split.TEST, Split.TEST, Split.UNLABELLED,
    ]  # fmt: skip
    assert clips["sample_00000004"].valence is None  # NaN
    assert clips["sample_00000005"].valence is None  # -10 stands for missing
    assert clips["sample_00000005"].emotion == "surprise"
    assert not found.left_out
    assert (
        "labels: label-6way.npz, train_corpus 2, test1_corpus 1, test2_corpus 1, test3_corpus 1"
        in found.notes
    )
    assert (
        "transcripts: transcription-engchi-polish.csv, column chinese, 1 texts (english: not used; --text-column reads another)"
        in found.notes
    )
    assert "1 media files have no row: taken as unlabelled clips" in found.notes


@pytest.mark.parametrize(
    ("file", "transcripts"),
    [("label-6way.npz", "transcription-merge.csv"), ("track1_label_6way.npz", "track1_subtitle_chieng.csv")],
)
def test_neutral_fillers_of_mer2024_and_later_are_no_labels(
    tmp_path: Path, file: str, transcripts: str
) -> None:
    filler: Any = {f"sample_{n}": {"emo": "neutral"} for n in range(3)}
    labels(tmp_path, file, train={"a": {"emo": "neutral"}, "b": {"emo": "sad"}}, test1=filler)
    table(tmp_path, transcripts, "name,chinese\na,好\nsample_0,不\n")
    touch(
        tmp_path,
        "video/a.mp4",
        "video/b.mp4",
        "video/sample_0.mp4",
        "video/sample_1.x.mp4",
        "video/sample_2.mp4",
    )
    found = recognise(tmp_path, emotions=MER_EMOTIONS)
    clips = entries(found)
    assert (clips["a"].split, clips["a"].emotion) == (Split.TRAIN, "neutral")
    assert {(clips[name].split, clips[name].emotion) for name in filler} == {(Split.UNLABELLED, None)}
    assert clips["sample_1"].media == tmp_path / "video/sample_1.x.mp4"  # names are cut at the first dot
    assert clips["sample_0"].transcript == "不"
    assert any("all 3 clips are neutral, the toolkit's filler" in note for note in found.notes)


def test_published_test_labels_are_kept_for_the_evaluator(tmp_path: Path) -> None:
    labels(
        tmp_path,
        "label-6way.npz",
        train={"a": {"emo": "sad"}},
        test1={"b": {"emo": "neutral"}, "c": {"emo": "sad"}},
    )
    touch(tmp_path, "video/a.mp4", "video/b.mp4", "video/c.mp4")
    clips = entries(recognise(tmp_path, emotions=MER_EMOTIONS))
    assert [(clips[name].split, clips[name].emotion) for name in "abc"] == [
        (Split.TRAIN, "sad"), (Split.TEST, "neutral"), (Split.TEST, "sad"),
    ]  # fmt: skip


def meld(root: Path) -> None:
    labels(
        root,
        "label.npz",
        train={
            "train_dia0_utt0": {"emo": 1, "val": -10},
            "train_dia0_utt1": {"emo": np.int64(3), "val": -10},
        },
        val={"val_dia0_utt0": {"emo": 0, "val": -10}},
        test={"test_dia0_utt0": {"emo": 6, "val": -10}},
    )
    table(root, "transcription-engchi-polish.csv", "name,chinese,english\ntrain_dia0_utt0,喂,hi\n")
    touch(root, "subvideo/train_dia0_utt0.mp4", "subvideo/train_dia0_utt1.mp4", "subvideo/val_dia0_utt0.mp4")
    touch(root, "subvideo/test_dia0_utt0.mp4", "subaudio/test_dia0_utt0.wav")


def test_classes_as_numbers_need_their_order(tmp_path: Path) -> None:
    meld(tmp_path)
    with pytest.raises(CorpusError) as caught:
        recognise(tmp_path, emotions=MELD_ORDER)
    message = str(caught.value)
    assert "numbers (0, 1, 3, 6)" in message
    assert "--label-map 0=<emotion>,1=<emotion>" in message
    assert "MELD as anger, joy, sadness" in message
    order = {str(number): emotion for number, emotion in enumerate(MELD_ORDER)}
    found = recognise(tmp_path, emotions=MELD_ORDER, options=ReadingOptions(label_map={**order, "6": None}))
    clips = entries(found)
    assert [(name, clip.emotion, clip.split, clip.speaker) for name, clip in clips.items()] == [
        ("test_dia0_utt0", None, Split.TEST, "test_dia0"),
        ("train_dia0_utt0", "joy", Split.TRAIN, "train_dia0"),
        ("train_dia0_utt1", "neutral", Split.TRAIN, "train_dia0"),
        ("val_dia0_utt0", "anger", Split.TRAIN, "val_dia0"),
    ]
    assert clips["train_dia0_utt0"].transcript == "hi"
    assert clips["test_dia0_utt0"].media.parent.name == "subvideo"
    assert "label '1' -> joy (1 rows)" in found.notes


def test_iemocap_has_its_speakers_and_sessions_as_folds(tmp_path: Path) -> None:
    whole: Any = {
        "Ses01F_impro01_F000": {"emo": 0, "val": -10},
        "Ses05M_script01_1_M003": {"emo": 1, "val": -10},
    }
    labels(tmp_path, "label_4way.npz", whole=whole)
    labels(tmp_path, "label_6way.npz", whole={name: {"emo": 5} for name in whole})
    touch(tmp_path, "video/Ses01F_impro01.mp4")  # whole dialogues are no clips
    touch(
        tmp_path, *(f"subvideo-tgt/{name}.avi" for name in whole), *(f"subaudio/{name}.wav" for name in whole)
    )
    four = ("angry", "happy", "neutral", "sad")
    found = recognise(tmp_path, emotions=four, options=ReadingOptions(label_map={"0": "happy", "1": "sad"}))
    assert [(e.name, e.emotion, e.speaker, e.fold, e.media.parent.name) for e in found.entries] == [
        ("Ses01F_impro01_F000", "happy", "Ses01F", 0, "subaudio"),
        ("Ses05M_script01_1_M003", "sad", "Ses05M", 4, "subaudio"),
    ]
    assert any("subvideo-tgt/ are without sound" in note for note in found.notes)
    with pytest.raises(
        CorpusError, match=r"one label file for 5 classes, found label_4way\.npz, label_6way\.npz"
    ):
        recognise(tmp_path, emotions=(*four, "other"))


def test_sentiment_corpora_give_valence_only(tmp_path: Path) -> None:
    labels(
        tmp_path, "label.npz", train={"vid_1": {"emo": 0, "val": 2.4}}, test={"vid_2": {"emo": 0, "val": -3}}
    )
    touch(tmp_path, "subvideo/vid_1.mp4", "subvideo/vid_2.mp4")
    found = recognise(tmp_path, emotions=MER_EMOTIONS)
    assert [(e.emotion, e.valence, e.split, e.speaker) for e in found.entries] == [
        (None, 2.4, Split.TRAIN, "vid"), (None, -3.0, Split.TEST, "vid"),
    ]  # fmt: skip
    assert any("placeholder" in note for note in found.notes)


def test_problems_of_single_clips_leave_them_out_with_a_reason(tmp_path: Path) -> None:
    labels(
        tmp_path,
        "label-6way.npz",
        train={
            "a": {"emo": "sad", "val": 1},
            "gone": {"emo": "sad"},
            "=i": {"emo": "sad"},
            "b": {"emo": float("nan")},
        },
        test1={"a": {"emo": "happy", "val": 1}},
    )
    touch(tmp_path, "video/a.mp4", "video/b.mp4")
    found = recognise(tmp_path, emotions=MER_EMOTIONS)
    assert {item.name: item.reason for item in found.left_out} == {
        "a": QuarantineReason.CONFLICTING_LABELS,
        "gone": QuarantineReason.MISSING_MEDIA,
        "=i": QuarantineReason.UNSAFE_NAME,
    }
    assert [(e.name, e.emotion, e.split) for e in found.entries] == [("b", None, Split.UNLABELLED)]


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ({"emo": "joyful"}, r"joyful \(1\).*--label-map"),
        ({"emo": "sad", "val": 7}, r"train_corpus a: valence 7 is outside"),
        ({"emo": ["sad"]}, r"train_corpus a: unknown emotion"),
        ({"val": 1}, "expected name ->"),
        ("sad", "expected name ->"),
    ],
)
def test_labels_that_cannot_be_used(tmp_path: Path, label: Any, words: str) -> None:
    labels(tmp_path, "label-6way.npz", train={"a": label})
    touch(tmp_path, "video/a.mp4")
    with pytest.raises(CorpusError, match=words):
        recognise(tmp_path, emotions=MER_EMOTIONS)


class Runs:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


def test_a_label_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    labels(tmp_path, "label-6way.npz", train={"a": {"emo": Runs(f"touch {tmp_path}/ran")}})
    with pytest.raises(CorpusError, match=r"label-6way\.npz\[train_corpus\] is refused: .*posix\.system"):
        recognise(tmp_path, emotions=MER_EMOTIONS)
    assert not (tmp_path / "ran").exists()


def test_a_corpus_of_features_alone(tmp_path: Path) -> None:
    labels(
        tmp_path,
        "label-6way.npz",
        train={"a": {"emo": "sad"}, "none": {"emo": "sad"}},
        test1={"b": {"emo": "neutral"}},
    )
    vectors(tmp_path, "hubert-UTT", "a", "b", "c")
    vectors(tmp_path, "clip-FRA", "a", frames=3)
    touch(tmp_path, "features/faces_UTT/a/2.npy", "features/faces_UTT/a/1.npy")
    found = recognise(tmp_path, emotions=MER_EMOTIONS)
    clips = entries(found)
    assert {name: clip.split for name, clip in clips.items()} == {
        "a": Split.TRAIN, "b": Split.UNLABELLED, "c": Split.UNLABELLED,
    }  # fmt: skip
    folder = tmp_path / "features"
    assert clips["a"].precomputed == (
        folder / "clip-FRA/a.npy", folder / "faces_UTT/a/1.npy", folder / "faces_UTT/a/2.npy", folder / "hubert-UTT/a.npy",
    )  # fmt: skip
    assert len({clip.media for clip in found.entries}) == 3
    assert not any(clip.media.exists() for clip in found.entries)
    assert [(item.name, item.reason) for item in found.left_out] == [("none", QuarantineReason.MISSING_MEDIA)]
    assert "3 clips have no media: their precomputed features are the clip" in found.notes
