"""Which files of a folder are media: one list for ingestion and prediction."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mer.corpora.media_index import index_media
from mer.media.suffixes import is_media_file

MEDIA = [
    "a.mp4", "a.M4V", "a.mov", "a.avi", "a.mkv", "a.webm", "a.wmv", "a.flv", "a.mpg", "a.mpeg", "a.ts", "a.mts", "a.M2TS",
    "a.3gp", "a.asf", "a.ogv", "a.vob", "a.WAV", "a.flac", "a.mp3", "a.m4a", "a.ogg", "a.oga", "a.opus", "a.aac", "a.wma",
    "a.aif", "a.aiff", "a.aifc", "a.caf", "a.amr", "a.au", "-a.mp4", "a b.mp4",
]  # fmt: skip
NO_MEDIA = ["._a.mp4", ".a.wav", ".mp4", "a.csv", "a.mp4.part", "a", "a.srt", "a.npy", "a.jpg"]


@pytest.mark.parametrize("name", MEDIA)
def test_names_of_media(name: str) -> None:
    assert is_media_file(Path("folder") / name)


@pytest.mark.parametrize("name", NO_MEDIA)
def test_names_of_other_files(name: str) -> None:
    assert not is_media_file(Path("folder") / name)


def test_the_index_of_a_corpus_goes_by_the_same_list(tmp_path: Path) -> None:
    names = [f"{number}{name}" for number, name in enumerate(MEDIA)]
    hidden = [".hidden/a.wav", "__MACOSX/._a.wav", "__MACOSX/a.wav"]
    for name in [*names, *NO_MEDIA, *hidden]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert sorted(path.name for path in index_media(tmp_path).files) == sorted(names)


def test_a_name_that_is_no_utf8_is_a_clip_under_a_printable_one(tmp_path: Path) -> None:
    (tmp_path / "good.wav").write_bytes(b"x")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav")).write_bytes(b"x")
    index = index_media(tmp_path)
    assert sorted(index.by_stem) == ["caf\\udce9", "good"] and not index.left_out
