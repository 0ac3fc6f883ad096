"""Transcript files name all clips of a corpus: their texts reach every clip, labelled or not, whatever it is made of."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from corpus_layouts import labels, table, touch, vectors

from mer.clips import Split
from mer.corpora import recognise
from mer.corpora.options import ReadingOptions
from mer.emotions import EMOTION_SETS, MER_EMOTIONS
from mer.errors import CorpusError

RAVDESS_EMOTIONS = (*EMOTION_SETS["ravdess"], "sadness", "joy")
SUBTITLES = "name,chinese,english\na,甲,one\nb,乙,two\nc,丙,three\nd,丁,four\ne,nan,\n"


def mertools_unlabelled_test(root: Path) -> None:
    """MER2024 and 2025 after preprocessing: test clips are filled with `neutral`, more media have no row at all."""
    filler = {name: {"emo": "neutral"} for name in ("b", "c")}
    labels(root, "label-6way.npz", train={"a": {"emo": "sad"}}, test1=filler)
    table(root, "transcription-merge.csv", SUBTITLES)
    touch(root, *(f"video/{name}.mp4" for name in "abcde"))


def mertools_features_alone(root: Path) -> None:
    labels(root, "label-6way.npz", train={"a": {"emo": "sad"}}, test1={"b": {"emo": "neutral"}})
    table(root, "transcription-engchi-polish.csv", SUBTITLES)
    vectors(root, "hubert-UTT", *"abcde")


def mertools_names_beyond_the_first_dot(root: Path) -> None:
    labels(root, "label-6way.npz", train={"a.v1": {"emo": "sad"}}, test1={"b.x.y": {"emo": "angry"}})
    table(root, "transcription-merge.csv", SUBTITLES.replace("\na,", "\na.v1,").replace("\nc,", "\nc.w,"))
    touch(root, "video/a.v1.mp4", *(f"video/{name}.noise.mp4" for name in "bcde"))


def mer2023_folders(root: Path) -> None:
    table(root, "train-label.csv", "name,discrete\na,sad\n")
    table(root, "test1-label.csv", "name,discrete\nb,\n")
    table(root, "transcription-engchi-polish.csv", SUBTITLES)
    touch(root, "train/a.avi", *(f"test3/{name}.avi" for name in "bcde"))


def mer2024_unlabelled(root: Path) -> None:
    table(root, "label-disdim.csv", "name,discrete\na,sad\n")
    table(root, "label-transcription.csv", "name,chinese\na,甲\n")
    table(root, "transcription-merge.csv", "name,chinese\nb,乙\nc,丙\nd,丁\n")
    touch(root, "video-labeled/a.mp4")
    touch(root, *(f"video-unlabeled-with-test2noise/{name}.mp4" for name in "bcde"))


def mer2025_two_files(root: Path) -> None:
    """The subtitles of track 1 beside those of all clips; the first are read where both have a text."""
    table(root, "track1_train_disdim.csv", "name,discrete\na,sad\n")
    table(root, "track_all_candidates.csv", "name,discrete\nb,neutral\n")
    table(root, "track1_subtitle_chieng.csv", "name,chinese,english\na,甲,one\n")
    table(root, "subtitle_chieng.csv", SUBTITLES.replace("甲", "another"))
    touch(root, *(f"video/{name}.mp4" for name in "abcde"))


def mer2026_features_alone(root: Path) -> None:
    table(root, "track1_train.csv", "name,discrete\na,sad\n")
    table(root, "subtitle_chieng.csv", SUBTITLES)
    vectors(root, "clip-UTT", *"abcde")


def names_with_suffixes(root: Path) -> None:
    table(root, "track1_train.csv", "name,discrete\na,sad\n")
    rows = SUBTITLES.replace("\nb,", "\nb.mp4,").replace("\nc,", "\nc.WAV,")
    table(root, "subtitle_chieng.csv", rows)
    touch(root, *(f"video/{name}.mp4" for name in "abcde"))


@pytest.mark.parametrize(
    "corpus",
    [
        mertools_unlabelled_test, mertools_features_alone, mertools_names_beyond_the_first_dot, mer2023_folders,
        mer2024_unlabelled, mer2025_two_files, mer2026_features_alone, names_with_suffixes,
    ],
)  # fmt: skip
def test_texts_of_all_clips_are_read(tmp_path: Path, corpus: Callable[[Path], None]) -> None:
    corpus(tmp_path)
    found = recognise(tmp_path, emotions=MER_EMOTIONS)
    assert {entry.name: entry.transcript for entry in found.entries} == {
        "a": "甲", "b": "乙", "c": "丙", "d": "丁", "e": None,
    }  # fmt: skip
    assert sum(entry.split is Split.UNLABELLED for entry in found.entries) >= 3


def test_780_of_1000(tmp_path: Path) -> None:
    """A challenge's proportions: 220 clips have a label, all have a subtitle."""
    names = [f"sample_{row:04}" for row in range(1000)]
    train, test = ({name: {"emo": "sad"} for name in part} for part in (names[:200], names[200:220]))
    labels(tmp_path, "label-6way.npz", train=train, test1=test)
    table(tmp_path, "subtitle_chieng.csv", "name,chinese\n" + "".join(f"{name},词{name}\n" for name in names))
    folder = tmp_path / "features" / "x-UTT"
    folder.mkdir(parents=True)
    for row, name in enumerate(names):
        np.save(folder / f"{name}.npy", np.full(2, row + 1, dtype=np.float32))
    found = recognise(tmp_path, emotions=MER_EMOTIONS)
    assert [entry.transcript for entry in found.entries] == [f"词{name}" for name in names]


def test_composed_and_decomposed_names_are_one(tmp_path: Path) -> None:
    composed = unicodedata.normalize("NFC", "café")
    table(tmp_path, "track1_train.csv", "name,discrete\na,sad\n")
    table(tmp_path, "subtitle_chieng.csv", f"name,chinese\n{unicodedata.normalize('NFD', composed)},咖啡\n")
    touch(tmp_path, "video/a.mp4", f"video/{composed}.mp4")
    found = recognise(tmp_path, emotions=MER_EMOTIONS)
    assert {entry.name: entry.transcript for entry in found.entries} == {"a": None, composed: "咖啡"}


def test_iemocap_texts_of_utterances_without_evaluation(tmp_path: Path) -> None:
    session = tmp_path / "Session1"
    evaluated = "[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5, 2.5, 2.5]\n"
    said = "Ses01F_impro01_F000 [6.29-8.23]: Excuse me.\nSes01F_impro01_F001 [9.0-9.9]: Yes.\n"
    for folder, text in (("EmoEvaluation", evaluated), ("transcriptions", said)):
        path = session / "dialog" / folder / "Ses01F_impro01.txt"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    touch(tmp_path, *(f"Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F00{n}.wav" for n in (0, 1)))
    found = recognise(tmp_path, emotions=MER_EMOTIONS)
    assert [entry.transcript for entry in found.entries] == ["Excuse me.", "Yes."]


def mertools(root: Path) -> None:
    labels(root, "label-6way.npz", train={"a": {"emo": "sad"}}, test1={"b": {"emo": "angry"}})
    table(root, "transcription-engchi-polish.csv", SUBTITLES)
    touch(root, "video/a.mp4", "video/b.mp4")


def release(root: Path) -> None:
    table(root, "track1_train.csv", "name,discrete\na,sad\n")
    table(root, "subtitle_chieng.csv", SUBTITLES)
    touch(root, "video/a.mp4", "video/b.mp4")


def bare_clips_with_subtitles(root: Path) -> None:
    table(root, "subtitle_chieng.csv", SUBTITLES)
    touch(root, "clips/a.mp4", "clips/b.mp4")


@pytest.mark.parametrize("corpus", [mertools, release, bare_clips_with_subtitles])
@pytest.mark.parametrize(
    ("column", "texts"), [("", ["甲", "乙"]), ("english", ["one", "two"]), (" English", ["one", "two"])]
)
def test_the_column_of_the_texts_is_an_option(
    tmp_path: Path, corpus: Callable[[Path], None], column: str, texts: list[str]
) -> None:
    corpus(tmp_path)
    found = recognise(tmp_path, emotions=MER_EMOTIONS, options=ReadingOptions(text_column=column))
    assert [entry.transcript for entry in found.entries] == texts
    used = column.strip().lower() or "chinese"
    assert any(note.startswith("transcripts: ") and f"column {used}, 4 texts" in note for note in found.notes)


def meld(root: Path) -> None:
    columns = "sr no.,utterance,french,speaker,emotion,sentiment,dialogue_id,utterance_id"
    table(root, "train_sent_emo.csv", f"{columns}\n1,Hi,Salut,Joey,sadness,neutral,0,0\n")
    touch(root, "train_splits/dia0_utt0.mp4")


def mmsa(root: Path) -> None:
    table(
        root, "label.csv", "video_id,clip_id,text,french,label,annotation,mode\nv,0,Hi,Salut,1.0,Positive,train\n"
    )  # fmt: skip
    touch(root, "Raw/v/0.mp4")


def plain_table(root: Path) -> None:
    table(root, "labels.csv", "name,emotion,transcript,french\na,joy,Hi,Salut\n")
    touch(root, "a.mp4")


@pytest.mark.parametrize("corpus", [meld, mmsa, plain_table])
@pytest.mark.parametrize(("column", "text"), [("", "Hi"), ("french", "Salut")])
def test_label_tables_may_have_several_texts(
    tmp_path: Path, corpus: Callable[[Path], None], column: str, text: str
) -> None:
    corpus(tmp_path)
    found = recognise(tmp_path, emotions=("sadness", "joy"), options=ReadingOptions(text_column=column))
    assert [entry.transcript for entry in found.entries] == [text]


def without_transcripts(root: Path) -> None:
    table(root, "track1_train.csv", "name,discrete\na,sad\n")
    touch(root, "video/a.mp4")


def file_names(root: Path) -> None:
    touch(root, "03-01-06-01-02-01-12.wav")


@pytest.mark.parametrize(
    ("corpus", "listed"),
    [
        (mertools, "transcription-engchi-polish.csv: chinese, english"),
        (release, "subtitle_chieng.csv: chinese, english"),
        (bare_clips_with_subtitles, "subtitle_chieng.csv: chinese, english"),
        (meld, "train_sent_emo.csv: sr no., utterance, french"),
        (mmsa, "label.csv: video_id, clip_id, text, french"),
        (plain_table, "labels.csv: emotion, transcript, french"),
        (without_transcripts, "no file of transcripts"),
        (file_names, "one text a clip"),
    ],
)
def test_a_wrong_column_is_an_error_that_lists_the_columns(
    tmp_path: Path, corpus: Callable[[Path], None], listed: str
) -> None:
    corpus(tmp_path)
    with pytest.raises(CorpusError, match="text column 'klingon'") as caught:
        recognise(tmp_path, emotions=RAVDESS_EMOTIONS, options=ReadingOptions(text_column="klingon"))
    assert listed in str(caught.value)
