"""Words that a user gives for files: tables of any form, by name or path, and text files beside clips."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mer.clips import Clip
from mer.corpora.clip_texts import MAX_SIDECAR_BYTES, ClipTexts, read_texts, sidecar_text, with_words
from mer.errors import CorpusError


def clip(folder: Path, file: str, transcript: str | None = None) -> Clip:
    path = folder / file
    return Clip(name=path.stem, content="c", path=path, corpus_root=folder, transcript=transcript)


TABLES = {
    "comma": ("t.csv", "name,text\na,hello\n"),
    "byte order mark, CRLF, semicolon": ("t.csv", "\ufeffName;Transcript\r\na;hello\r\n"),
    "tabs": ("t.tsv", "filename\tsentence\na.mp4\thello\n"),
    "quoted": ("t.csv", 'file,utterance\n"a.mp4","hello"\n'),
    "subtitle file of a challenge": ("t.csv", "name,chinese,english\na,hello,bonjour\n"),
    "columns of a label table": ("t.csv", "File Name,Utterance Text,label\na.mp4,hello,happy\n"),
    "JSON lines": ("t.jsonl", json.dumps({"name": "a", "text": "hello"}) + "\n\n"),
}


@pytest.mark.parametrize("case", TABLES)
def test_tables(case: str, tmp_path: Path) -> None:
    name, text = TABLES[case]
    (tmp_path / name).write_bytes(text.encode())
    assert read_texts(tmp_path / name).of_files([("a", tmp_path / "a.mp4")]) == ["hello"]


def test_parquet(tmp_path: Path) -> None:
    pq.write_table(pa.table({"name": ["a", "b"], "text": ["hello", None]}), tmp_path / "t.parquet")
    texts = read_texts(tmp_path / "t.parquet")
    assert texts.of_files([("a", tmp_path / "a.mp4"), ("b", tmp_path / "b.mp4")]) == ["hello", ""]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("a__x", ["text", None]),
        ("d/a/x.mp4", ["text", None]),
        ("./a/x.mp4", ["text", None]),
        ("a\\x.mp4", ["text", None]),
        ("y", [None, "text"]),
        ("y.wav", [None, "text"]),
        ("caf\u00e9/y.wav", [None, "text"]),
        ("cafe\u0301/y.wav", [None, "text"]),
        ("z", [None, None]),
        ("e/y.wav.mp4", [None, None]),
    ],
)
def test_what_a_text_is_for(key: str, expected: list[str | None], tmp_path: Path) -> None:
    files = [("a__x", tmp_path / "d/a/x.mp4"), ("y", tmp_path / "caf\u00e9/y.wav")]
    texts = ClipTexts({key: "text"}, "t.csv")
    assert texts.of_files(files) == expected
    assert texts.without_file(files) == ([key] if expected == [None, None] else [])


def test_one_name_for_two_files_is_refused(tmp_path: Path) -> None:
    files = [("a__x", tmp_path / "a/x.wav"), ("b__x", tmp_path / "b/x.wav")]
    with pytest.raises(CorpusError, match="the name 'x' stands for 2 files"):
        ClipTexts({"x": "text"}, "t.csv").of_files(files)
    assert ClipTexts({"a/x.wav": "one", "b/x.wav": "two"}, "t").of_files(files) == ["one", "two"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "t.csv",
            "name,emotion\na,happy\n",
            "expected a column of names .* and one of texts .*, found name, emotion",
        ),
        ("t.csv", "name,text\na,one\na,two\n", "the name 'a' has two different texts"),
        ("t.csv", "", "found no header"),
        ("t.jsonl", "{]\n", "t.jsonl, line 1: expected a JSON object"),
        ("t.jsonl", "[1]\n", "line 1: expected a JSON object, found list"),
        ("t.jsonl", "[" * 100_000, "line 1: expected a JSON object"),
        ("absent.csv", None, "expected a table at .*absent.csv, found none"),
    ],
)
def test_what_is_no_table_of_texts(name: str, text: str | None, message: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(CorpusError, match=message):
        read_texts(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"hello there\n", "hello there"),
        (b"\xef\xbb\xbfhello\r\n  there \r\n", "hello there"),
        ("gr\u00fc\u00df".encode(), "gr\u00fc\u00df"),
        (b"", ""),
    ],
)
def test_the_text_beside_a_clip(content: bytes, expected: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    assert sidecar_text(tmp_path / "a.mp4") == expected
    assert sidecar_text(tmp_path / "b.mp4") is None


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"caf\xe9", "not UTF-8"), (b"x" * (MAX_SIDECAR_BYTES + 1), "at most 65536 bytes, found 65537")],
)
def test_a_text_that_is_not_used_is_said(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    ((spoken,), (note,)) = with_words([clip(tmp_path, "a.mp4", "known")], None)
    assert spoken.transcript == "known" and message in note


def test_a_link_beside_a_clip_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "a.txt").symlink_to(tmp_path / "secret")
    assert sidecar_text(tmp_path / "a.mp4") is None


@pytest.mark.parametrize(
    ("given", "beside", "known", "expected"),
    [
        ("given", "beside", "known", "given"),
        (None, "beside", "known", "beside"),
        (None, None, "known", "known"),
        (None, None, None, None),
        ("", "beside", "known", ""),
    ],
)
def test_which_words_count(
    given: str | None, beside: str | None, known: str | None, expected: str | None, tmp_path: Path
) -> None:
    if beside is not None:
        (tmp_path / "a.txt").write_text(beside)
    texts = None if given is None else ClipTexts({"a": given}, "t.csv")
    ((spoken,), notes) = with_words([clip(tmp_path, "a.mp4", known)], texts)
    assert spoken.transcript == expected
    assert len(notes) == (expected == "beside" and known is not None)


def test_texts_without_a_clip_are_counted_and_named(tmp_path: Path) -> None:
    texts = ClipTexts({"a": "x", **{f"b{number}": "y" for number in range(7)}}, "t.csv")
    _, (note,) = with_words([clip(tmp_path, "a.mp4")], texts)
    assert note == "t.csv: 7 of 8 texts have no clip here (b0, b1, b2, b3, b4, ...)"


def test_a_text_file_in_place_of_catalogued_words_is_said(tmp_path: Path) -> None:
    """A text file beside a clip may hold anything, a licence for example."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text("CC-BY")
    clips = [clip(tmp_path, "a.mp4", "hello"), clip(tmp_path, "b.mp4", "CC-BY")]
    spoken, (note,) = with_words(clips, None)
    assert [one.transcript for one in spoken] == ["CC-BY", "CC-BY"]
    assert note.startswith("1 clips are read with the text files beside them (a.txt)")
