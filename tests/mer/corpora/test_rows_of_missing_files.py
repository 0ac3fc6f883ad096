"""A row whose file is missing takes neither another row's file nor one of another folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from corpus_layouts import table, touch

from mer.corpora import recognise
from mer.emotions import MER_EMOTIONS
from mer.errors import QuarantineReason


@pytest.mark.parametrize(
    ("files", "rows", "entries", "missing"),
    [
        (
            ["s1/x.wav", "s3/y.wav"],
            ["s1/x.wav,happy", "s2/x.wav,sad", "s3/y.wav,sad"],
            {"s1/x.wav": "happy", "s3/y.wav": "sad"},
            ["s2/x.wav"],
        ),
        (
            ["s1/x.wav", "s2/x.wav"],
            ["s1/x.wav,happy", "s2/x.wav,sad", "s9/x.wav,sad"],
            {"s1/x.wav": "happy", "s2/x.wav": "sad"},
            ["s9/x.wav"],
        ),
        (
            ["ann/01.wav", "bob/02.wav"],
            ["ann/01.wav,happy", "ann/02.wav,sad"],
            {"ann/01.wav": "happy"},
            ["ann/02.wav"],
        ),
        (  # the folder was moved: its files are those of the rows
            ["audio/01.wav", "audio/02.wav"],
            ["old/01.wav,happy", "old/02.wav,sad"],
            {"audio/01.wav": "happy", "audio/02.wav": "sad"},
            [],
        ),
        (["ann/01.WAV"], ["ann/01.wav,happy"], {"ann/01.WAV": "happy"}, []),
    ],
    ids=["exact path wins", "two exact paths win", "folder that is there", "folder was moved", "suffix"],
)
def test_a_missing_file_is_missing(
    files: list[str], rows: list[str], entries: dict[str, str | None], missing: list[str], tmp_path: Path
) -> None:
    touch(tmp_path, *files)
    table(tmp_path, "labels.csv", "path,emotion\n" + "\n".join(rows) + "\n")
    found = recognise(tmp_path, emotions=MER_EMOTIONS)
    assert {entry.media.relative_to(tmp_path).as_posix(): entry.emotion for entry in found.entries} == entries
    assert [item.reason for item in found.left_out] == [QuarantineReason.MISSING_MEDIA] * len(missing)
