"""Corpora that write their labels into file names or folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from corpus_layouts import table, touch

from mer.clips import Split
from mer.corpora import RecognisedCorpus, recognise
from mer.corpora.options import ReadingOptions
from mer.emotions import MER_EMOTIONS, RAVDESS_EMOTIONS
from mer.errors import CorpusError

SIX = ("angry", "disgust", "fearful", "happy", "neutral", "sad")


def seen(found: RecognisedCorpus) -> list[tuple[str, str | None, str | None]]:
    return [(entry.name, entry.emotion, entry.speaker) for entry in found.entries]


def test_ravdess(tmp_path: Path) -> None:
    touch(tmp_path, "Actor_12/03-01-06-01-02-01-12.wav", "Actor_01/03-01-08-02-01-02-01.wav")
    found = recognise(tmp_path, emotions=RAVDESS_EMOTIONS)
    assert found.format == "ravdess"
    assert seen(found) == [
        ("03-01-06-01-02-01-12", "fearful", "actor_12"), ("03-01-08-02-01-02-01", "surprised", "actor_01"),
    ]  # fmt: skip
    assert [entry.transcript for entry in found.entries] == [
        "Dogs are sitting by the door",
        "Kids are talking by the door",
    ]


def test_ravdess_into_another_set_needs_an_explicit_mapping(tmp_path: Path) -> None:
    touch(tmp_path, "03-01-06-01-02-01-12.wav", "03-01-02-01-02-01-12.wav", "03-01-05-01-02-01-12.wav")
    with pytest.raises(CorpusError, match=r"calm \(1\), fearful \(1\)"):
        recognise(tmp_path, emotions=MER_EMOTIONS)
    mapping = {"calm": "neutral", "fearful": "worried"}
    found = recognise(tmp_path, emotions=MER_EMOTIONS, options=ReadingOptions(label_map=mapping))
    assert [entry.emotion for entry in found.entries] == ["neutral", "angry", "worried"]
    assert "label 'fearful' -> worried (1 rows)" in found.notes


def test_crema_d(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "VideoFlash/1001_DFA_ANG_XX.flv",
        "AudioWAV/1001_DFA_ANG_XX.wav",
        "AudioWAV/1091_IEO_FEA_HI.wav",
    )
    found = recognise(tmp_path, emotions=SIX)
    assert found.format == "crema-d"
    assert seen(found) == [("1001_DFA_ANG_XX", "angry", "1001"), ("1091_IEO_FEA_HI", "fearful", "1091")]
    assert found.entries[0].media.suffix == ".flv"
    assert found.entries[0].transcript == "Don't forget a jacket"


def test_emo_db(tmp_path: Path) -> None:
    touch(tmp_path, "wav/03a01Fa.wav", "wav/16b10Wb.wav", "wav/08a02La.wav")
    found = recognise(tmp_path, emotions=(*SIX, "boredom"))
    assert found.format == "emo-db"
    assert seen(found) == [
        ("03a01Fa", "happy", "03"),
        ("08a02La", "boredom", "08"),
        ("16b10Wb", "angry", "16"),
    ]


def test_one_other_name_makes_it_an_ordinary_folder(tmp_path: Path) -> None:
    touch(tmp_path, "03a01Fa.wav", "holiday.wav")
    assert recognise(tmp_path, emotions=SIX).format == "folder"
    found = recognise(tmp_path, emotions=SIX, options=ReadingOptions(format="folder"))
    assert {entry.split for entry in found.entries} == {Split.UNLABELLED}


MELD = (
    "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime\n"
)
MELD_EMOTIONS = ("anger", "joy", "sadness", "neutral", "disgust", "fear", "surprise")


def test_meld(tmp_path: Path) -> None:
    table(tmp_path, "train_sent_emo.csv", MELD + '1,"Oh, hi",Joey,joy,positive,0,0,1,1,"0:0:1,1","0:0:2,1"\n')
    table(tmp_path, "dev_sent_emo.csv", MELD + "1,No,Monica,anger,negative,0,0,1,1,0,1\n")
    table(tmp_path, "test_sent_emo.csv", MELD + "1,What,Ross,surprise,positive,0,0,1,1,0,1\n")
    touch(
        tmp_path,
        "train_splits/dia0_utt0.mp4",
        "train_splits/dia0_utt1.mp4",
        "dev_splits_complete/dia0_utt0.mp4",
    )
    touch(
        tmp_path,
        "output_repeated_splits_test/dia0_utt0.mp4",
        "output_repeated_splits_test/final_videos_testdia0_utt0.mp4",
    )
    found = recognise(tmp_path, emotions=MELD_EMOTIONS)
    assert found.format == "meld"
    assert [(e.name, e.emotion, e.speaker, e.split, e.media.parent.name) for e in found.entries] == [
        ("test_dia0_utt0", "surprise", "Ross", Split.TEST, "output_repeated_splits_test"),
        ("train_dia0_utt0", "joy", "Joey", Split.TRAIN, "train_splits"),
        ("train_dia0_utt1", None, None, Split.UNLABELLED, "train_splits"),
        ("val_dia0_utt0", "anger", "Monica", Split.TRAIN, "dev_splits_complete"),
    ]
    assert found.entries[1].transcript == "Oh, hi"
    assert any("1 files are not named like clips" in note for note in found.notes)


def test_iemocap(tmp_path: Path) -> None:
    for session, name, code in ((1, "Ses01F_impro01", "neu"), (5, "Ses05M_script01_1", "fru")):
        dialogue = tmp_path / f"Session{session}/dialog"
        for folder in ("EmoEvaluation", "transcriptions"):
            (dialogue / folder).mkdir(parents=True)
        (dialogue / f"EmoEvaluation/{name}.txt").write_text(
            "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
            f"[6.2901 - 8.2357]\t{name}_F000\t{code}\t[2.5000, 2.5000, 2.5000]\nC-E2:\tNeutral;\t()\n"
            f"[9.0 - 10.0]\t{name}_M000\txxx\t[2.5000, 2.5000, 2.5000]\n"
        )
        (dialogue / f"transcriptions/{name}.txt").write_text(
            f"{name}_F000 [006.2901-008.2357]: Excuse me.\nF: noise\n"
        )
        for speaker in "FM":
            touch(tmp_path, f"Session{session}/sentences/wav/{name}/{name}_{speaker}000.wav")
        touch(tmp_path, f"Session{session}/dialog/wav/{name}.wav")
    found = recognise(tmp_path, emotions=SIX, options=ReadingOptions(label_map={"frustrated": "angry"}))
    assert found.format == "iemocap"
    assert [(e.name, e.emotion, e.speaker, e.fold, e.split) for e in found.entries] == [
        ("Ses01F_impro01_F000", "neutral", "Ses01F", 0, Split.TRAIN),
        ("Ses01F_impro01_M000", None, "Ses01M", 0, Split.UNLABELLED),
        ("Ses05M_script01_1_F000", "angry", "Ses05F", 4, Split.TRAIN),
        ("Ses05M_script01_1_M000", None, "Ses05M", 4, Split.UNLABELLED),
    ]
    assert found.entries[0].transcript == "Excuse me."
    with pytest.raises(CorpusError, match=r"frustrated \(1\)"):
        recognise(tmp_path, emotions=SIX)
