"""MMSA: raw clips with label.csv, processed pickles, or both."""

from __future__ import annotations

import pickle  # noqa: TID251
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpus_layouts import mmsa_part, table, touch

from mer.clips import Split
from mer.corpora import recognise
from mer.corpora.mmsa_pickle import read_mmsa
from mer.corpora.options import ReadingOptions
from mer.emotions import MER_EMOTIONS
from mer.errors import CorpusError, QuarantineReason
from mer.features.precomputed_content import precomputed_contents

SENTIMENTS = ("negative", "neutral", "positive")
TABLE = """video_id,clip_id,text,label,label_T,label_A,label_V,annotation,mode
-3g5yACwYnA,0001,Well,-0.8,-1,0,0,Negative,train
video_0001,0010,你好,0,0,0,0,Neutral,valid
video_0001,10,gone,1,1,1,1,Positive,test
video_0002,1,,0.6,1,1,1,Positive,test
"""


def put(root: Path, name: str, **parts: Any) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(parts, protocol=4))
    return path


def test_raw_clips_and_label_csv(tmp_path: Path) -> None:
    table(tmp_path, "label.csv", TABLE)
    touch(
        tmp_path,
        "Raw/-3g5yACwYnA/0001.mp4",
        "Raw/video_0001/0010.mp4",
        "Raw/video_0002/1.mp4",
        "Raw/video_0002/2.mp4",
    )
    found = recognise(tmp_path, emotions=SENTIMENTS)
    assert found.format == "mmsa"
    assert [(e.name, e.emotion, e.valence, e.split, e.speaker, e.transcript) for e in found.entries] == [
        ("_-3g5yACwYnA_0001", "negative", -0.8, Split.TRAIN, "-3g5yACwYnA", "Well"),
        ("video_0001_0010", "neutral", 0.0, Split.TRAIN, "video_0001", "你好"),
        ("video_0002_1", "positive", 0.6, Split.TEST, "video_0002", None),
        ("video_0002_2", None, None, Split.UNLABELLED, None, None),
    ]
    assert found.entries[0].media == tmp_path / "Raw/-3g5yACwYnA/0001.mp4"
    assert [(item.name, item.reason) for item in found.left_out] == [
        ("video_0001_10", QuarantineReason.MISSING_MEDIA)
    ]


def test_annotations_are_emotions_only_where_all_of_them_are_known(tmp_path: Path) -> None:
    table(tmp_path, "label.csv", TABLE)
    touch(tmp_path, "Raw/-3g5yACwYnA/0001.mp4", "Raw/video_0001/0010.mp4")
    found = recognise(tmp_path, emotions=MER_EMOTIONS)
    assert {entry.emotion for entry in found.entries} == {None}
    assert {entry.valence for entry in found.entries} == {-0.8, 0.0}
    assert any("Negative, Neutral, Positive are not taken" in note for note in found.notes)
    mapping = {"Negative": "sad", "Neutral": "neutral", "Positive": "happy"}
    mapped = recognise(tmp_path, emotions=MER_EMOTIONS, options=ReadingOptions(label_map=mapping))
    assert [entry.emotion for entry in mapped.entries] == ["sad", "neutral"]


def test_pickles_alone(tmp_path: Path) -> None:
    put(
        tmp_path, "unaligned_50.pkl",
        train=mmsa_part("v$_$0", "v$_$1", lengths={"audio_lengths": [1, 0], "vision_lengths": [[1], [2]]}),
        valid=mmsa_part("w$_$0"), test=mmsa_part("-x$_$0"),
    )  # fmt: skip
    found = recognise(tmp_path, emotions=SENTIMENTS)
    assert (found.format, found.left_out) == ("mmsa-pickle", ())
    assert found.feature_sets == ("unaligned_50-audio", "unaligned_50-text", "unaligned_50-vision")
    assert [(e.name, e.emotion, e.valence, e.split, e.speaker, e.transcript) for e in found.entries] == [
        ("_-x_0", "negative", -1.0, Split.TEST, "-x", "Text of -x$_$0"),
        ("v_0", "negative", -1.0, Split.TRAIN, "v", "Text of v$_$0"),
        ("v_1", "neutral", 1.0, Split.TRAIN, "v", "Text of v$_$1"),
        ("w_0", "negative", -1.0, Split.TRAIN, "w", "Text of w$_$0"),
    ]
    assert found.entries[0].precomputed == (tmp_path / "unaligned_50.pkl",)
    assert len({entry.media for entry in found.entries}) == 4


def test_padding_is_cut_by_lengths_by_the_text_or_by_zeros(tmp_path: Path) -> None:
    path = put(
        tmp_path, "a.pkl",
        train=mmsa_part("v$_$0", "v$_$1", lengths={"audio_lengths": [4, 0]}),
        valid=mmsa_part("w$_$0", text_bert=None),
        test=mmsa_part("x$_$0", audio=np.array([[0.5, 0.25]])),
    )  # fmt: skip
    arrays = read_mmsa(path).arrays
    assert arrays["audio"]["v_0"].shape == (4, 3)
    assert "v_1" not in arrays["audio"]  # told to be empty
    assert arrays["vision"]["v_1"].shape == (2, 2)  # as many as the text has
    assert arrays["vision"]["w_0"].shape == (1, 2)  # without trailing zeros
    assert arrays["text"]["w_0"].shape == (5, 4)
    assert arrays["audio"]["x_0"].shape == (1, 2)  # one vector for the clip


def test_clips_have_media_and_pickles_give_features(tmp_path: Path) -> None:
    table(tmp_path, "label.csv", TABLE)
    touch(tmp_path, "Raw/video_0001/0010.mp4")
    put(tmp_path, "Processed/aligned_50.pkl", train=mmsa_part("-3g5yACwYnA$_$0001", "video_0001$_$0010"))
    found = recognise(tmp_path, emotions=SENTIMENTS)
    assert found.format == "mmsa"
    assert [(entry.name, bool(entry.precomputed)) for entry in found.entries] == [
        ("_-3g5yACwYnA_0001", True), ("video_0001_0010", False),
    ]  # fmt: skip
    assert "aligned_50-vision" in found.feature_sets
    sets = [f"files:aligned_50-{modality}" for modality in ("vision", "audio")]
    contents = [precomputed_contents(tmp_path, own, ["video_0001_0010", "absent"]) for own in sets]
    assert contents[0][0] != contents[1][0] and {own[1] for own in contents} == {None}
    assert None not in {own[0] for own in contents}


def test_pickles_that_disagree_leave_the_clip_out(tmp_path: Path) -> None:
    put(tmp_path, "aligned.pkl", train=mmsa_part("v$_$0", "v$_$1"))
    put(tmp_path, "unaligned.pkl", train=mmsa_part("v$_$0"), test=mmsa_part("v$_$1"))
    found = recognise(tmp_path, emotions=SENTIMENTS)
    assert [entry.name for entry in found.entries] == ["v_0"]
    assert len(found.entries[0].precomputed) == 2
    assert [(item.name, item.reason) for item in found.left_out] == [
        ("v_1", QuarantineReason.CONFLICTING_LABELS)
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], "a dict with train, valid, test, found list"),
        ({"train": {"audio": 1}}, "to be a dict with `id`"),
        ({"train": {"id": ["no separator"]}}, "to be text"),
        ({"train": {"id": ["a$_$1"], "raw_text": []}}, "to have 1 rows"),
        ({"train": {"id": ["a$_$1"], "audio": np.zeros((1, 2, 3), dtype=int)}}, "to be floats"),
        ({"train": {"id": ["a$_$1"], "audio": np.zeros((2, 2, 3))}}, "1 clips"),
        ({"train": {"id": 7}}, "no pickle of MMSA: TypeError"),
        ({"train": {"id": ["a$_$1"], "regression_labels": [[]]}}, "no pickle of MMSA: IndexError"),
        ({"train": {"id": ["a$_$1"], "regression_labels": [None]}}, "no pickle of MMSA"),
    ],
)
def test_other_pickles_are_no_corpus(tmp_path: Path, content: Any, words: str) -> None:
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(CorpusError, match=words):
        recognise(tmp_path, emotions=SENTIMENTS)


def test_a_changed_pickle_is_read_again(tmp_path: Path) -> None:
    path = put(tmp_path, "a.pkl", train=mmsa_part("v$_$0"))
    assert read_mmsa(path) is read_mmsa(path)
    put(tmp_path, "a.pkl", train=mmsa_part("v$_$0", "v$_$1"))
    assert len(read_mmsa(path).rows) == 2


def test_scores_that_no_valence_has_are_errors_with_the_clip(tmp_path: Path) -> None:
    put(tmp_path, "a.pkl", train=mmsa_part("v$_$0", regression_labels=[30.0]))
    with pytest.raises(CorpusError, match=r"pickle train v_0: valence 30\.0 is outside"):
        recognise(tmp_path, emotions=SENTIMENTS)
    put(tmp_path, "a.pkl", train=mmsa_part("v$_$0", regression_labels=[float("nan")]))
    assert recognise(tmp_path, emotions=SENTIMENTS).entries[0].valence is None


def test_missing_columns(tmp_path: Path) -> None:
    table(tmp_path, "label.csv", "video_id,clip_id\na,1\n")
    touch(tmp_path, "Raw/a/1.mp4")
    with pytest.raises(CorpusError, match="expected columns text, label, mode too"):
        recognise(tmp_path, emotions=SENTIMENTS)
