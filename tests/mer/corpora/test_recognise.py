from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from mer.clips import Split
from mer.corpora import recognise
from mer.corpora.label_map import parse_label_map
from mer.corpora.layouts import READERS
from mer.corpora.options import ReadingOptions
from mer.emotions import MER_EMOTIONS, RAVDESS_EMOTIONS
from mer.errors import ConfigError, CorpusError, QuarantineReason


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_a_bare_folder_is_unlabelled_clips(tmp_path: Path) -> None:
    touch(tmp_path, "b.mp4", "deep/er/a.WAV", ".hidden.mp4", "._b.mp4", "notes.txt", "features/x/c.mp4")
    found = recognise(tmp_path, emotions=MER_EMOTIONS)
    assert (found.format, found.name, found.root) == ("folder", tmp_path.name, tmp_path)
    assert [(entry.name, entry.split, entry.emotion) for entry in found.entries] == [
        ("a", Split.UNLABELLED, None),
        ("b", Split.UNLABELLED, None),
    ]
    assert all(entry.media.is_absolute() for entry in found.entries)
    assert found.feature_sets == ("x",)


def test_equal_names_in_a_bare_folder_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    touch(tmp_path, "one/clip.mp4", "two/clip.mp4")
    assert [entry.name for entry in recognise(tmp_path, emotions=MER_EMOTIONS).entries] == [
        "one__clip",
        "two__clip",
    ]


def test_a_name_stands_for_its_video_before_its_audio(tmp_path: Path) -> None:
    touch(tmp_path, "audio/clip.wav", "video/clip.mp4", "other/clip.mp4")
    (entry,) = recognise(tmp_path, emotions=MER_EMOTIONS).entries
    assert entry.media == tmp_path / "video/clip.mp4"


def test_nothing_and_no_folder(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="found neither"):
        recognise(tmp_path, emotions=MER_EMOTIONS)
    with pytest.raises(CorpusError, match="found nothing"):
        recognise(tmp_path / "absent", emotions=MER_EMOTIONS)
    touch(tmp_path, "file")
    with pytest.raises(CorpusError, match="found a file"):
        recognise(tmp_path / "file", emotions=MER_EMOTIONS)


def test_links_lead_nowhere_outside(tmp_path: Path) -> None:
    root, outside = tmp_path / "corpus", tmp_path / "outside"
    touch(root, "inside.mp4")
    touch(outside, "secret.mp4")
    (root / "alias.mp4").symlink_to(root / "inside.mp4")
    (root / "stolen.mp4").symlink_to(outside / "secret.mp4")
    (root / "system.mp4").symlink_to("/etc/passwd")
    (root / "loop.mp4").symlink_to(root / "loop.mp4")
    (root / "folder").symlink_to(outside)
    found = recognise(root, emotions=MER_EMOTIONS)
    assert [entry.name for entry in found.entries] == ["alias", "inside"]
    assert {item.name: item.reason for item in found.left_out} == {
        "stolen": QuarantineReason.OUTSIDE_ROOT,
        "system": QuarantineReason.OUTSIDE_ROOT,
        "loop": QuarantineReason.MISSING_MEDIA,
    }
    assert any("folder" in note and "not followed" in note for note in found.notes)


def test_files_that_are_no_files_or_have_unsafe_names(tmp_path: Path) -> None:
    touch(tmp_path, "good.mp4", "+i.mp4", "a|b.mp4", "new\nline.mp4", "=cmd().mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4")).write_bytes(b"x")
    found = recognise(tmp_path, emotions=MER_EMOTIONS)
    assert [entry.name for entry in found.entries] == [r"caf\udce9", "good"]  # no UTF-8, a clip all the same
    assert Counter(item.reason for item in found.left_out) == {
        QuarantineReason.UNSAFE_NAME: 4,
        QuarantineReason.NOT_A_REGULAR_FILE: 1,
    }
    for item in found.left_out:  # what goes to the catalogue can be stored and printed
        for text in (item.name, str(item.path), item.detail):
            text.encode("utf-8")
            assert text.isprintable()


def test_ravdess_as_it_lies_there(shared_data: Path) -> None:
    found = recognise(shared_data / "data/ravdess", emotions=RAVDESS_EMOTIONS)
    assert (found.format, len(found.entries), found.left_out) == ("table", 1440, ())
    assert found.feature_sets == ("openface-au-UTT",)
    assert Counter(entry.emotion for entry in found.entries) == {
        emotion: 96 if emotion == "neutral" else 192 for emotion in RAVDESS_EMOTIONS
    }
    assert {entry.fold for entry in found.entries} == {0, 1, 2, 3, 4}
    folds = {(entry.speaker, entry.fold) for entry in found.entries}
    assert len(folds) == 24  # every actor lies in one fold
    assert {entry.split for entry in found.entries} == {Split.TRAIN}
    assert all(entry.transcript and entry.media.suffix == ".flac" for entry in found.entries)


def test_every_format_is_told_of(tmp_path: Path) -> None:
    told = (Path(__file__).parents[3] / "docs/corpora.md").read_text(encoding="utf-8")
    assert all(f"`{reader.format}`" in told for reader in READERS)


def test_the_mertools_files_at_hand(shared_data: Path) -> None:
    found = recognise(shared_data / "data/mertools-parity", emotions=MER_EMOTIONS)
    assert [entry.media.suffix for entry in found.entries] == [".wav"] * 3
    assert found.feature_sets == tuple(
        f"{model}-tiny-random-{level}" for model in ("clip", "hubert") for level in ("FRA", "UTT")
    )


def test_label_maps_as_people_write_them() -> None:
    assert parse_label_map(" calm = neutral, 0=sad,disgust= ,") == {
        "calm": "neutral",
        "0": "sad",
        "disgust": None,
    }
    assert parse_label_map("") == {}
    for wrong in ("calm", "=sad", "a=sad,a=happy"):
        with pytest.raises(ConfigError, match="expected LABEL=EMOTION"):
            parse_label_map(wrong)


def test_a_label_map_must_lead_into_the_set(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    with pytest.raises(CorpusError, match="asleep"):
        recognise(
            tmp_path, emotions=MER_EMOTIONS, options=ReadingOptions(label_map={"bored": "asleep", "?": None})
        )
