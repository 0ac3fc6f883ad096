"""The raw releases of the MER challenges."""

from __future__ import annotations

from pathlib import Path

import pytest
from corpus_layouts import mer2023_process, table, touch, vectors

from mer.clips import Split
from mer.corpora import RecognisedCorpus, recognise
from mer.corpora.options import ReadingOptions
from mer.emotions import MER_EMOTIONS
from mer.errors import CorpusError, QuarantineReason


def seen(found: RecognisedCorpus) -> list[tuple[str, Split, str | None, float | None]]:
    return [(entry.name, entry.split, entry.emotion, entry.valence) for entry in found.entries]


def test_mer2023(tmp_path: Path) -> None:
    table(tmp_path, "train-label.csv", "name,discrete,valence\na,angry,-2.5\nb,happy,\n")
    table(tmp_path, "test1-label.csv", "name,discrete,valence\nc,sad,-10\n")
    table(tmp_path, "test3-label.csv", "name,discrete\nd,worried\n")
    touch(tmp_path, "train/a.avi", "train/b.mp4", "test1/c.avi", "test3/d.mp4", "test3/e.mp4")
    found = recognise(tmp_path, emotions=MER_EMOTIONS)
    assert found.format == "mer2023"
    assert seen(found) == [
        ("a", Split.TRAIN, "angry", -2.5),
        ("b", Split.TRAIN, "happy", None),
        ("c", Split.TEST, "sad", None),
        ("d", Split.TEST, "worried", None),
        ("e", Split.UNLABELLED, None, None),
    ]


def test_mer2024(tmp_path: Path) -> None:
    table(
        tmp_path,
        "label-disdim.csv",
        "name,discrete,valence,arousal\na,angry,-2.5,3\nb,happy,1.0,2\ngone,sad,1,1\n",
    )
    table(tmp_path, "label-transcription.csv", "name,chinese,english\na,喂,hello\n")
    touch(tmp_path, "video-labeled/a.v1.mp4", "video-labeled/b.mp4")
    touch(tmp_path, "video-unlabeled-with-test2noise/c.noise.avi.mp4")
    found = recognise(tmp_path, emotions=MER_EMOTIONS)
    assert found.format == "mer2024"
    assert seen(found) == [
        ("a", Split.TRAIN, "angry", -2.5), ("b", Split.TRAIN, "happy", 1.0), ("c", Split.UNLABELLED, None, None),
    ]  # fmt: skip
    assert found.entries[0].transcript == "喂"
    assert [(item.name, item.reason) for item in found.left_out] == [("gone", QuarantineReason.MISSING_MEDIA)]


@pytest.mark.parametrize(
    ("format", "train", "candidates"),
    [
        ("mer2025", "track1_train_disdim.csv", "track_all_candidates.csv"),
        ("mer2026", "track1_train.csv", "track1_track2_candidate.csv"),
    ],
)
def test_mer2025_and_2026(tmp_path: Path, format: str, train: str, candidates: str) -> None:
    table(tmp_path, train, "name,discrete,valence\na,neutral,0.5\n")
    table(tmp_path, candidates, "name,discrete\nc,neutral\nb,neutral\nlost,neutral\n")
    table(tmp_path, "subtitle_chieng.csv", 'name,chinese,english\na,"啊, 是",yes\nc,好,good\n')
    touch(tmp_path, *(f"video/{name}.mp4" for name in "abcd"), *(f"audio/{name}.wav" for name in "abcd"))
    touch(tmp_path, "openface_face/a/a.npy")
    found = recognise(tmp_path, emotions=MER_EMOTIONS)
    assert found.format == format
    assert seen(found) == [
        ("a", Split.TRAIN, "neutral", 0.5),
        ("b", Split.UNLABELLED, None, None),  # whatever the table of candidates says
        ("c", Split.UNLABELLED, None, None),
        ("d", Split.UNLABELLED, None, None),
    ]
    assert [entry.transcript for entry in found.entries] == ["啊, 是", None, "好", None]
    assert [item.name for item in found.left_out] == ["lost"]
    assert any(note.startswith(f"3 names of a submission in {candidates}") for note in found.notes)


def test_a_release_may_come_as_features_alone(tmp_path: Path) -> None:
    table(tmp_path, "track1_train.csv", "name,discrete\na,sad\n")
    vectors(tmp_path, "clip-UTT", "a", "b")
    found = recognise(tmp_path, emotions=MER_EMOTIONS)
    assert found.format == "mer2026"
    assert [(entry.name, len(entry.precomputed)) for entry in found.entries] == [("a", 1), ("b", 1)]


def test_labels_outside_the_set_are_counted_in_one_error(tmp_path: Path) -> None:
    table(tmp_path, "train-label.csv", "name,discrete\na,bored\nb,sad\nc,bored\nd,fear\n")
    touch(tmp_path, "train/a.mp4")
    with pytest.raises(CorpusError) as caught:
        recognise(tmp_path, emotions=MER_EMOTIONS)
    message = str(caught.value)
    assert "bored (2), fear (1)" in message
    assert "--label-map" in message
    assert "train-label.csv row 4: unknown emotion 'bored'" in message
    table(tmp_path, "train-label.csv", "name,discrete\n" + "a,bored\n" * 50 + "b,sad\n")
    with pytest.raises(CorpusError) as caught:
        recognise(tmp_path, emotions=MER_EMOTIONS)
    assert "bored (50)" in str(caught.value) and len(str(caught.value).splitlines()) == 5, (
        "its counts, three rows"
    )
    table(tmp_path, "train-label.csv", "name,discrete\na,bored\nb,sad\nc,bored\nd,fear\n")
    found = recognise(
        tmp_path, emotions=MER_EMOTIONS, options=ReadingOptions(label_map={"bored": None, "fear": "worried"})
    )
    assert seen(found) == [("a", Split.UNLABELLED, None, None)]


def test_a_table_without_its_columns(tmp_path: Path) -> None:
    table(tmp_path, "train-label.csv", "name,label\na,sad\n")
    touch(tmp_path, "train/a.mp4")
    with pytest.raises(CorpusError, match="expected columns name,discrete, found name, label"):
        recognise(tmp_path, emotions=MER_EMOTIONS)


def test_the_format_can_be_named(tmp_path: Path) -> None:
    mer2023_process(tmp_path)
    table(tmp_path, "train-label.csv", "name,discrete\nx,sad\n")
    touch(tmp_path, "train/x.mp4")
    found = recognise(tmp_path, emotions=MER_EMOTIONS)
    assert found.format == "mertools"
    assert "it also looks like mer2023: --format mer2023 reads it as that" in found.notes
    assert [
        e.name
        for e in recognise(tmp_path, emotions=MER_EMOTIONS, options=ReadingOptions(format="mer2023")).entries
    ] == ["x"]
    with pytest.raises(CorpusError, match=r"not of the format meld: expected train_sent_emo\.csv"):
        recognise(tmp_path, emotions=MER_EMOTIONS, options=ReadingOptions(format="meld"))
    with pytest.raises(CorpusError, match="unknown format 'mer': expected auto, mertools, mer2023"):
        recognise(tmp_path, emotions=MER_EMOTIONS, options=ReadingOptions(format="mer"))
