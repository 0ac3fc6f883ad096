"""Files of foreign formats that ask for more than they are are refused in bounded memory and time; good ones come back."""

from __future__ import annotations

import json
import os
import pickle  # noqa: TID251
import resource
import struct
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_restricted_pickle import PLAIN, put, same

from mer.corpora.contained_reader import ReaderLimits, read_contained
from mer.corpora.plain_data import read_plain, write_plain
from mer.errors import CorpusError

QUICK = ReaderLimits(memory_bytes=1 << 30, processor_seconds=3, file_bytes=512 << 20)
"""As for small files, with less patience: what takes 3 s of a few hundred KB takes 20 as well."""


def _colliding(count: int) -> bytes:
    """A dict whose integer keys all have the hash 0."""
    step = sys.hash_info.modulus
    keys = b"".join(_number(step * index) + b"N" for index in range(1, count))
    return b"\x80\x04}(" + keys + b"u."


def _number(value: int) -> bytes:
    raw = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def _doubled(times: int) -> bytes:
    """A list that holds the list before twice, `times` over."""
    return b"\x80\x04]\x94" + b"".join(
        b"](h" + bytes([index]) + b"h" + bytes([index]) + b"e\x94" for index in range(times)
    ) + b"."  # fmt: skip


def _nested_for_ever() -> bytes:
    return b"\x80\x04]\x94h\x00a."


HOSTILE: dict[str, Callable[[], bytes]] = {
    "12 bytes, a bytearray of 2 GiB": lambda: b"\x80\x05\x96" + struct.pack("<Q", 2 << 30) + b".",
    "bytes of 2 GiB": lambda: b"\x80\x04B" + struct.pack("<I", (2 << 30) - 1) + b".",
    "text of 4 GiB": lambda: b"\x80\x04\x8d" + struct.pack("<Q", 4 << 30) + b".",
    "a frame of 4 GiB": lambda: b"\x80\x04\x95" + struct.pack("<Q", 4 << 30) + b"N.",
    "an integer of 2 GiB": lambda: b"\x80\x04\x8b" + struct.pack("<i", (2 << 30) - 1) + b".",
    "900 KB of colliding keys": lambda: _colliding(70_000),
    "19 MB of empty lists": lambda: b"\x80\x04" + b"]" * 19_000_000 + b".",
    "lists that double 40 times": lambda: _doubled(40),
    "a list that holds itself": _nested_for_ever,
    "lists nested 100,000 deep": lambda: b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b".",
}


LONG = {"900 KB of colliding keys", "19 MB of empty lists", "lists that double 40 times"}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(content, id=name, marks=[pytest.mark.slow] if name in LONG else [])
        for name, content in HOSTILE.items()
    ],
)
def test_hostile_pickles_are_refused_in_time(tmp_path: Path, content: Callable[[], bytes]) -> None:
    path = put(tmp_path / "x.pkl", content())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.monotonic()
    with pytest.raises(CorpusError, match=r"x\.pkl"):
        read_contained("pickle", path, QUICK)
    assert time.monotonic() - started < 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, (
        "memory of this process, KiB"
    )


def test_good_data_come_back_as_they_are(tmp_path: Path) -> None:
    same(read_contained("pickle", put(tmp_path / "x.pkl", pickle.dumps(PLAIN))), PLAIN)


def test_equal_arrays_are_written_once(tmp_path: Path) -> None:
    big = np.arange(100_000.0)
    write_plain(
        {"a": big, "b": [big, big], "empty": np.zeros((0, 3)), "keys": {(1, "x"): b"\xff", 1 << 90: -0.0}},
        tmp_path,
    )
    assert (tmp_path / "numbers.bin").stat().st_size < 1_000_000
    back = read_plain(tmp_path)
    np.testing.assert_array_equal(back["b"][1], big)
    assert back["empty"].shape == (0, 3)
    assert list(back["keys"]) == [(1, "x"), 1 << 90]
    back["a"][0] = 7.0  # arrays may be written to
    assert read_plain(tmp_path)["a"][0] == 0.0


def test_names_that_are_no_utf_8(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.pkl"))
    assert read_contained("pickle", put(path, pickle.dumps([1]))) == [1]


DAMAGED_ANSWERS: list[Any] = [
    {"node": {"a": 3}, "arrays": []},
    {"node": {"?": 1}, "arrays": []},
    {"node": {"d": [1]}, "arrays": []},
    {"node": {"a": 0}, "arrays": [["<f8", [10**12], 0]]},
    {"node": {"a": 0}, "arrays": [["|O", [1], 0]]},
    {"node": {"a": 0}, "arrays": [["<f8", [1], -8]]},
    [],
    3,
]


@pytest.mark.parametrize("damage", DAMAGED_ANSWERS)
def test_a_reader_that_was_taken_over_can_only_send_data(tmp_path: Path, damage: Any) -> None:
    (tmp_path / "tree.json").write_text(json.dumps(damage), encoding="ascii")
    (tmp_path / "numbers.bin").write_bytes(b"\0" * 8)
    with pytest.raises(CorpusError, match="no plain data"):
        read_plain(tmp_path)


@pytest.mark.slow
def test_a_column_that_stands_for_many_rows(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("name", pa.string())])
    batch = pa.table(
        {
            "name": pa.DictionaryArray.from_arrays(pa.array(np.zeros(5_000_000, np.int8)), ["x"]).cast(
                pa.string()
            )
        }
    )
    with pq.ParquetWriter(tmp_path / "x.parquet", schema) as writer:
        for _ in range(6):
            writer.write_table(batch)
    assert (tmp_path / "x.parquet").stat().st_size < 100_000
    with pytest.raises(CorpusError, match=r"x\.parquet"):
        read_contained("parquet", tmp_path / "x.parquet", QUICK)


@pytest.mark.slow
def test_a_workbook_that_unpacks_to_much(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["name", "emotion"])
    book.save(tmp_path / "small.xlsx")
    row = b'<row><c t="inlineStr"><is><t>x</t></is></c></row>'
    with (
        zipfile.ZipFile(tmp_path / "small.xlsx") as small,
        zipfile.ZipFile(tmp_path / "x.xlsx", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for item in small.infolist():
            data = small.read(item)
            if item.filename.endswith("sheet1.xml"):
                data = data.replace(b"</sheetData>", row * 1_500_000 + b"</sheetData>")
            bomb.writestr(item.filename, data)
    with pytest.raises(CorpusError, match=r"x\.xlsx"):
        read_contained("workbook", tmp_path / "x.xlsx", QUICK)
