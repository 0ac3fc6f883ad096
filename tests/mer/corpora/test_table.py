from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mer.clips import CorpusEntry, Split
from mer.corpora import RecognisedCorpus, recognise
from mer.corpora.options import ReadingOptions
from mer.emotions import MER_EMOTIONS
from mer.errors import CorpusError, QuarantineReason


def corpus(root: Path, table: str | bytes, *media: str) -> RecognisedCorpus:
    """Recognise a folder with this labels.csv and these (empty) media files."""
    root.mkdir(exist_ok=True)
    (root / "labels.csv").write_bytes(table.encode() if isinstance(table, str) else table)
    for name in media:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return recognise(
        root, emotions=MER_EMOTIONS, options=ReadingOptions(label_map={"fed up": "angry", "?": None})
    )


def by_name(found: RecognisedCorpus) -> dict[str, CorpusEntry]:
    return {entry.name: entry for entry in found.entries}


FULL = """name,emotion,valence,speaker,transcript,split,fold,gender
a,Happy,1.5,anna,"Well, hello",train,0,f
b,sad,-2,ben,,test,1,m
c,neutral,,,,unlabelled,,
d,,,carl,hm,,,
e,fed up,nan,carl,,train,2.0,m
"""


def test_every_column(tmp_path: Path) -> None:
    found = corpus(tmp_path, FULL, "video/a.mp4", "video/b.mp4", "video/c.mp4", "d.wav", "e.wav")
    entries = by_name(found)
    assert entries["a"] == CorpusEntry(
        name="a",
        media=tmp_path / "video/a.mp4",
        emotion="happy",
        valence=1.5,
        speaker="anna",
        transcript="Well, hello",
        split=Split.TRAIN,
        fold=0,
    )
    assert (entries["b"].split, entries["b"].fold, entries["b"].transcript) == (Split.TEST, 1, None)
    assert (entries["c"].split, entries["c"].emotion) == (Split.UNLABELLED, None)  # a filler label is none
    assert entries["d"].split is Split.UNLABELLED
    assert (entries["e"].emotion, entries["e"].valence, entries["e"].fold) == ("angry", None, 2)
    assert "columns not used: gender" in found.notes
    assert "label 'fed up' -> angry (1 rows)" in found.notes
    assert found.left_out == ()


def test_spreadsheet_dialects_read_the_same(tmp_path: Path) -> None:
    media = ("video/a.mp4", "video/b.mp4", "video/c.mp4", "d.wav", "e.wav")
    plain = corpus(tmp_path, FULL, *media).entries
    for dialect in (
        b"\xef\xbb\xbf" + FULL.encode(),
        FULL.replace("\n", "\r\n").encode(),
        FULL.replace(",gender", " , Gender").encode() + b"\r\n\r\n",
        FULL.replace('"Well, hello"', "Well| hello").replace(",", ";").replace("|", ",").encode(),
        FULL.replace('"Well, hello"', "Well| hello").replace(",", "\t").replace("|", ",").encode(),
    ):
        assert corpus(tmp_path, dialect, *media).entries == plain


def test_parquet_reads_like_csv(tmp_path: Path) -> None:
    expected = corpus(tmp_path / "csv", "name,emotion,valence,fold\na,happy,-1.5,3\nb,,,\n", "a.mp4", "b.mp4")
    root = tmp_path / "parquet"
    root.mkdir()
    (root / "a.mp4").write_bytes(b"x")
    (root / "b.mp4").write_bytes(b"x")
    columns = {
        "name": ["a", "b"],
        "emotion": ["happy", None],
        "valence": [-1.5, float("nan")],
        "fold": [3, None],
    }
    pq.write_table(pa.table(columns), root / "labels.parquet")
    found = recognise(root, emotions=MER_EMOTIONS)
    assert [(e.name, e.emotion, e.valence, e.fold) for e in found.entries] == [
        (e.name, e.emotion, e.valence, e.fold) for e in expected.entries
    ]
    (root / "labels.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(CorpusError, match="not a Parquet table"):
        recognise(root, emotions=MER_EMOTIONS)


def test_media_without_a_row_are_unlabelled_and_rows_without_media_are_left_out(tmp_path: Path) -> None:
    found = corpus(tmp_path, "name,emotion\na,happy\ngone,sad\n", "a.mp4", "extra.mp4")
    assert {e.name: e.split for e in found.entries} == {"a": Split.TRAIN, "extra": Split.UNLABELLED}
    assert [(item.name, item.reason) for item in found.left_out] == [("gone", QuarantineReason.MISSING_MEDIA)]


def test_contradicting_rows_take_the_clip_out_and_repeated_ones_do_not(tmp_path: Path) -> None:
    table = "name,emotion\na,happy\na,sad\nb,sad\nb,sad\n"
    found = corpus(tmp_path, table, "a.mp4", "b.mp4")
    assert [entry.name for entry in found.entries] == ["b"]
    assert [(item.name, item.reason) for item in found.left_out] == [
        ("a", QuarantineReason.CONFLICTING_LABELS)
    ]


def test_formulas_and_unsafe_names_are_left_out_and_kept_as_text_elsewhere(tmp_path: Path) -> None:
    table = 'name,transcript\n=cmd(),x\n../x,y\n@i,z\na,=1+1\n"n\nl",w\n'
    found = corpus(tmp_path, table, "a.mp4")
    assert by_name(found)["a"].transcript == "=1+1"
    assert {item.reason for item in found.left_out} == {QuarantineReason.UNSAFE_NAME}
    assert len(found.left_out) == 4


def test_paths_stay_inside_and_disambiguate(tmp_path: Path) -> None:
    table = "path,emotion\none/x.mp4,happy\n../out.mp4,sad\n/etc/passwd,sad\nabsent/y.mp4,sad\n"
    found = corpus(tmp_path, table, "one/x.mp4", "two/x.mp4")
    assert by_name(found)["x"].media == tmp_path / "one/x.mp4"
    assert {item.reason for item in found.left_out} == {
        QuarantineReason.OUTSIDE_ROOT,
        QuarantineReason.MISSING_MEDIA,
    }


def test_a_name_of_two_files_asks_for_a_path(tmp_path: Path) -> None:
    found = corpus(tmp_path, "name,emotion\nx,happy\n", "one/x.mp4", "two/x.mp4")
    assert found.entries == ()
    assert [item.reason for item in found.left_out] == [QuarantineReason.AMBIGUOUS_MEDIA]


def test_all_problems_are_reported_together_with_their_rows(tmp_path: Path) -> None:
    table = "name,emotion,valence,split,fold\na,joyful,,,\nb,,9,,\nc,,,exam,\nd,,,,x\ne,,lots,,\nf,,inf,,\n,,,,1\ng,,-1,,\n"
    with pytest.raises(CorpusError) as caught:
        corpus(tmp_path, table)
    message = str(caught.value)
    for number, word in (
        (2, "joyful"),
        (3, "9"),
        (4, "exam"),
        (5, "'x'"),
        (6, "lots"),
        (7, "inf"),
        (8, "empty"),
    ):
        assert f"row {number}: " in message
        assert word in message
    assert ", ".join(MER_EMOTIONS) in message


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("emotion\nhappy\n", "expected a column `name` or `path`"),
        ("name,emotion\n", "no rows"),
        ("", "no header"),
        ("name,name\na,b\n", "more than once"),
        ("name,emotion\na\n", "line 2: expected 2 cells, found 1"),
        (b"\xef\xbb\xbfname,transcript\na,caf\xe9\n", "begins like UTF-8 and is not"),
        (b"name\n" + b'"' + b"a" * 200_000 + b'"\n', "line"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path: Path, table: str | bytes, words: str) -> None:
    with pytest.raises(CorpusError, match=words):
        corpus(tmp_path, table, "a.mp4")


def test_the_only_table_may_have_any_name_and_two_are_one_too_many(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    (tmp_path / "mine.csv").write_text("name,emotion\na,happy\n")
    assert recognise(tmp_path, emotions=MER_EMOTIONS).entries[0].emotion == "happy"
    (tmp_path / "other.csv").write_text("name,emotion\na,sad\n")
    with pytest.raises(CorpusError, match=r"mine\.csv, other\.csv"):
        recognise(tmp_path, emotions=MER_EMOTIONS)
    (tmp_path / "labels.csv").write_text("name,emotion\na,angry\n")
    assert recognise(tmp_path, emotions=MER_EMOTIONS).entries[0].emotion == "angry"


@given(st.binary(max_size=300))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_a_corpus_or_a_typed_error(tmp_path: Path, content: bytes) -> None:
    try:
        found = corpus(tmp_path, b"name,emotion,valence\n" + content, "a.mp4")
    except CorpusError:
        return
    names = [item.name for item in (*found.entries, *found.left_out)]
    assert len(set(names)) == len(names)
    assert "a" in names  # every file is accounted for
