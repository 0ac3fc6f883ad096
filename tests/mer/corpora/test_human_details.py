"""What people have, beyond labels: speakers, folds, splits, valences, reasons; and that nothing is merged or lost at scale."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from corpus_layouts import labels, table, touch, vectors
from human_corpora import NAMES, Human
from human_layouts import EMO_DB, LAYOUT_CASES, URDU
from human_names import NAME_CASES
from human_tables import TABLE_CASES
from hypothesis import given, settings
from hypothesis import strategies as st

from mer.clips import CorpusEntry, Split
from mer.corpora import RecognisedCorpus, recognise
from mer.corpora.account import account_of
from mer.corpora.near_names import NearestNames, near_matches
from mer.corpora.options import ReadingOptions
from mer.emotions import MER_EMOTIONS

CASES: dict[str, Human] = {case.id: case for case in (*NAME_CASES, *TABLE_CASES, *LAYOUT_CASES)}
EMOTIONS = (*MER_EMOTIONS, "fearful")


def read(case: str, root: Path, **options: object) -> dict[str, CorpusEntry]:
    """The entries of a case by name."""
    CASES[case].make(root)
    found = recognise(root, emotions=EMOTIONS, options=ReadingOptions(**options))  # type: ignore[arg-type]
    return {entry.name: entry for entry in found.entries}


@pytest.mark.parametrize(
    ("case", "scale", "expected"),
    [
        ("decimal commas", None, [-3.5, 2.5, 0, 1, -1, 2, 3, 0.5]),
        ("minus of typesetters", None, [-3.5, 2.5, 0, 1, -1, 2, 3, None]),
        ("1 to 9, said", (1, 9), [2.5, 1.875, -3.75, -2.5, -5, 5, 0, 0]),
        ("percent, said", (0, 1), [-5, 5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]),
        ("positive, meant so", (-5, 5), [1, 2, 3, 4, 5, 1, 2, 3]),
        ("-1 to 1, said", (-1, 1), [-5, 5, *[2.5] * 6]),
        ("-1 to 1, not said", None, [-1, 1, *[0.5] * 6]),
    ],
)
def test_valences_on_our_scale(
    case: str, scale: tuple[float, float] | None, expected: list[float | None], tmp_path: Path
) -> None:
    entries = read(case, tmp_path, valence_scale=scale)
    assert [entries[name].valence for name in NAMES] == expected


def test_columns_reach_their_fields(tmp_path: Path) -> None:
    entry = read("filename label subject text", tmp_path)["clip_00"]
    assert (entry.speaker, entry.transcript) == ("ann", "hello")
    said = read("utterance that is said", tmp_path)["clip_00"]
    assert said.transcript == "well I never"


@pytest.mark.parametrize(
    ("case", "column", "expected"),
    [("cp1252", "speaker", "Müller"), ("gb18030", "transcript", "你好，我们今天去公园吧")],
)
def test_texts_of_other_encodings(case: str, column: str, expected: str, tmp_path: Path) -> None:
    assert getattr(read(case, tmp_path)["clip_00"], column) == expected


def test_splits_and_folds(tmp_path: Path) -> None:
    entries = read("splits", tmp_path)
    assert [entries[name].split.value for name in NAMES] == [*["train"] * 6, "test", "unlabelled"]
    assert {entry.fold for entry in read("folds in words", tmp_path).values()} == {3}


@pytest.mark.parametrize(
    ("case", "folds", "splits"),
    [
        ("EmoBox", [0, 0, 1, 1, 2, 2, 3, 3], ["train"] * 8),
        ("EmoBox with one fold", [None] * 8, ["test", "test", *["train"] * 6]),
        ("EmoBox without folds", [None] * 8, ["train"] * 8),
    ],
)
def test_folds_of_emobox(case: str, folds: list[int | None], splits: list[str], tmp_path: Path) -> None:
    entries = read(case, tmp_path)
    assert [entries[name].fold for name in EMO_DB] == folds
    assert [entries[name].split.value for name in EMO_DB] == splits
    assert [entries[name].speaker for name in EMO_DB] == [name[:2] for name in EMO_DB]


@pytest.mark.parametrize(
    ("case", "speakers"),
    [
        ("class folders", {None: 8}),
        ("speakers in class folders", {"ann": 4, "ben": 4}),
        ("class folders in speakers", {"ann": 4, "ben": 4}),
        ("URDU", dict(Counter(name.split("_")[0] for name in URDU))),
    ],
)
def test_speakers_of_class_folders(case: str, speakers: dict[str | None, int], tmp_path: Path) -> None:
    assert Counter(entry.speaker for entry in read(case, tmp_path).values()) == speakers


def test_splits_between_class_folders(tmp_path: Path) -> None:
    touch(
        tmp_path,
        *(
            f"{split}/{label}/{split}_{label}.wav"
            for split in ("train", "dev", "test")
            for label in ("happy", "sad")
        ),
    )
    found = recognise(tmp_path, emotions=MER_EMOTIONS)
    assert found.format == "class_folders"
    assert Counter(entry.split for entry in found.entries) == {Split.TRAIN: 4, Split.TEST: 2}


def test_reasons_show_the_nearest_names(tmp_path: Path) -> None:
    CASES["misspelt"].make(tmp_path)
    (item,) = recognise(tmp_path, emotions=MER_EMOTIONS).left_out
    assert "no media file called clpi_07" in item.detail and "nearest: clip_07" in item.detail


def test_nearest_names_of_many() -> None:
    names = NearestNames(f"sample_{number:08}" for number in range(5000))
    assert names.of("sampel_00000042")[0] == "sample_00000042"
    assert names.of("nothing like it") == []


def test_a_label_file_of_mer2023_with_features_of_fifty_clips(tmp_path: Path) -> None:
    """5,030 names, of which 50 have files: none merged, none lost."""
    numbers = iter(range(1, 5031))
    sizes = {"train": 3373, "test1": 411, "test2": 412, "test3": 834}
    parts = {
        part: {
            f"sample_{next(numbers):08}": {"emo": MER_EMOTIONS[n % 6], "val": n % 7 - 3.0}
            for n in range(size)
        }
        for part, size in sizes.items()
    }
    labels(tmp_path, "label-6way.npz", **parts)
    every = [name for clips in parts.values() for name in clips]
    chosen = every[::101]
    assert len(every) == 5030 and len(chosen) == 50
    vectors(tmp_path, "hubert-UTT", *chosen)
    found = recognise(tmp_path, emotions=MER_EMOTIONS)
    assert [entry.name for entry in found.entries] == sorted(chosen)
    truth = {name: label["emo"] for clips in parts.values() for name, label in clips.items()}
    assert all(entry.emotion == truth[entry.name] for entry in found.entries)
    assert {item.name for item in found.left_out} == set(every) - set(chosen) and len(found.left_out) == 4980
    account = account_of(found)
    assert account.clips + sum(account.left_out.values()) == 5030
    assert len({entry.media for entry in found.entries}) == 50


def test_zeros_of_numbers_are_not_mixed_up(tmp_path: Path) -> None:
    """12 and 0012, 120 and 0120 are near; 12 and 120 are not."""
    names = [f"{number:05}" for number in range(1, 400)]
    touch(tmp_path, *(f"{name}.wav" for name in names))
    table(
        tmp_path,
        "labels.csv",
        "name,emotion,speaker\n" + "".join(f"{number},sad,s{number}\n" for number in range(1, 400)),
    )
    found = recognise(tmp_path, emotions=MER_EMOTIONS)
    assert {entry.name: entry.speaker for entry in found.entries} == {name: f"s{int(name)}" for name in names}


NAME = st.text(alphabet="aA0 1_-.é\u0301/\\", min_size=1, max_size=6)


@given(st.sets(NAME, max_size=8), st.sets(NAME, max_size=8))
@settings(max_examples=300, deadline=None)
def test_near_names_are_one_to_one(names: set[str], files: set[str]) -> None:
    matches, contested = near_matches(sorted(names), files)
    assert len(set(matches.values())) == len(matches), "two rows got one file"
    assert set(matches.values()) <= files - names, "a file that a row names exactly went to another row"
    assert set(matches) <= names - files and set(matches).isdisjoint(contested)
    assert set(contested.values()).isdisjoint(matches.values())


def test_a_companion_is_no_clip_of_its_own(tmp_path: Path) -> None:
    touch(tmp_path, "video/a.mp4", "audio/a.wav", "video/b.mp4")
    table(tmp_path, "labels.csv", "name,emotion\na,sad\nb,happy\n")
    found: RecognisedCorpus = recognise(tmp_path, emotions=MER_EMOTIONS)
    assert [entry.name for entry in found.entries] == ["a", "b"]
    assert "1 files are another form of a clip (its sound beside its video): not read" in found.notes


def test_a_path_leaves_its_namesake_a_clip(tmp_path: Path) -> None:
    touch(tmp_path, "one/x.mp4", "two/x.mp4")
    table(tmp_path, "labels.csv", "path,emotion\none/x.mp4,sad\n")
    found = recognise(tmp_path, emotions=MER_EMOTIONS)
    assert {entry.name: entry.emotion for entry in found.entries} == {"x": "sad", "two__x": None}


@pytest.mark.parametrize("written", ["x.wav", "x.WAV", "x.mp4"])
def test_a_row_with_the_suffix_of_a_file_that_another_row_names_contests_it(
    tmp_path: Path, written: str
) -> None:
    touch(tmp_path, "x.wav", "y.wav")
    table(tmp_path, "labels.csv", f"name,emotion\nx,happy\n{written},sad\ny,sad\n")
    found = recognise(tmp_path, emotions=MER_EMOTIONS)
    assert {entry.name: entry.emotion for entry in found.entries} == {"x": "happy", "y": "sad"}
    assert {item.name: item.reason for item in found.left_out} == {written: "conflicting_labels"}


def test_features_have_near_names_too(tmp_path: Path) -> None:
    vectors(tmp_path, "set-UTT", "0001", "0002")
    table(tmp_path, "labels.csv", "filename,label\n1.wav,sad\n2.wav,happy\n")
    found = recognise(tmp_path, emotions=MER_EMOTIONS)
    assert {entry.name: entry.emotion for entry in found.entries} == {"0001": "sad", "0002": "happy"}
    assert all(np.load(entry.precomputed[0]).shape == (4,) for entry in found.entries)
