"""Transcript files name all clips of a corpus: their texts reach every clip, labelled or not, whatever it is made of."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from corpus_layouts import labels, table, touch, vectors

from mer.clips import Split
from mer.corpora import recognise
from mer.emotions import MER_EMOTIONS

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


def texts_of(root: Path, **options: str) -> Mapping[str, str | None]:
    found = recognise(root, emotions=MER_EMOTIONS, **options)  # type: ignore[arg-type]
    return {entry.name: entry.transcript for entry in found.entries}
