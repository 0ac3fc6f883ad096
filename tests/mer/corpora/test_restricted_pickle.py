"""Pickles of plain data are read, of any protocol and numpy; everything else is refused before it runs."""

from __future__ import annotations

import collections
import os
import pickle  # noqa: TID251
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mer.corpora.restricted_pickle import npz_members, read_npz, read_pickle
from mer.errors import CorpusError

PLAIN = {
    "clip": {
        "emo": "愤怒",
        "val": -2.5,
        "n": 3,
        "big": 1 << 80,
        "raw": b"\x00\xff",
        "none": None,
        "yes": True,
    },
    "list": [1, (2, "x"), []],
    "scalars": [np.float32(1.5), np.int64(-3), np.bool_(True), np.str_("ä")],
    "floats": np.arange(6, dtype=np.float32).reshape(2, 3),
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big_endian": np.arange(3, dtype=">f8"),
    "text": np.array(["a", "bcd"]),
    "objects": np.array(["a", 1, None], dtype=object),
}


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def same(found: Any, expected: Any) -> None:
    if isinstance(expected, np.ndarray):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype.newbyteorder("=") == expected.dtype.newbyteorder("=")
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, value in expected.items():
            same(found[key], value)
    else:
        assert found == expected
        assert type(found) is type(expected)


@pytest.mark.parametrize("protocol", range(6))
def test_plain_data_of_every_protocol(tmp_path: Path, protocol: int) -> None:
    same(read_pickle(put(tmp_path / "x.pkl", pickle.dumps(PLAIN, protocol=protocol))), PLAIN)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_modules_of_numpy_1_and_2(tmp_path: Path, protocol: int) -> None:
    new = pickle.dumps({"x": np.arange(3.0), "y": np.float32(2)}, protocol=protocol)
    assert b"numpy._core.multiarray" in new
    if protocol < 4:
        old = new.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    else:  # text there has its length before it, and is framed
        old = new[:2] + new[11:].replace(b"\x8c\x16numpy._core.multiarray", b"\x8c\x15numpy.core.multiarray")
    found = read_pickle(put(tmp_path / "x.pkl", old))
    np.testing.assert_array_equal(found["x"], np.arange(3.0))
    assert found["y"] == 2


def test_python_2_text_is_read(tmp_path: Path) -> None:
    assert read_pickle(put(tmp_path / "x.pkl", b"(dp0\nS'id'\np1\n(lp2\nS'a$_$1'\np3\nas.")) == {
        "id": ["a$_$1"]
    }


def test_npz_of_dicts_and_arrays(tmp_path: Path) -> None:
    labels: Any = {"a": {"emo": "angry", "val": -2.5}}
    np.savez_compressed(
        tmp_path / "x.npz", train_corpus=labels, numbers=np.arange(3), rows=np.array([{}, {}])
    )
    found = read_npz(tmp_path / "x.npz")
    assert found["train_corpus"] == labels
    np.testing.assert_array_equal(found["numbers"], np.arange(3))
    assert found["rows"].tolist() == [{}, {}]
    assert npz_members(tmp_path / "x.npz") == ("train_corpus", "numbers", "rows")


class Calls:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def malicious(marker: Path) -> dict[str, Any]:
    """Objects by the name that a pickle of protocol 4 calls to run code."""
    touch = f"touch {marker}"
    return {
        "posix.system": Calls(os.system, touch),
        "builtins.eval": Calls(eval, f"__import__('os').system('{touch}')"),
        "builtins.exec": Calls(exec, f"__import__('os').system('{touch}')"),
        "builtins.getattr": Calls(Path(marker).touch),
        "shutil.rmtree": Calls(shutil.rmtree, str(marker.parent)),
        "collections.OrderedDict": collections.OrderedDict(a=1),
        "builtins.complex": 1j,
    }


class Plain:
    """An object of some class: pickled by NEWOBJ."""

    def __init__(self) -> None:
        self.a = 1


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("name", sorted(malicious(Path("marker"))))
def test_what_would_run_code_is_refused_by_name(tmp_path: Path, name: str, protocol: int) -> None:
    marker = tmp_path / "ran"
    nested = {"a": [1, {"b": malicious(marker)[name]}]}
    path = put(tmp_path / "x.pkl", pickle.dumps(nested, protocol=protocol))
    spelt = name.replace("builtins", "__builtin__") if protocol == 2 else name
    with pytest.raises(CorpusError, match=f"refused: its pickle asks for {re.escape(spelt)};"):
        read_pickle(path)
    assert not marker.exists()


def test_the_same_inside_an_npz(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    bad: Any = {"clip": {"emo": Calls(os.system, f"touch {marker}")}}
    np.savez(tmp_path / "x.npz", train_corpus=bad)
    with pytest.raises(CorpusError, match=r"x\.npz\[train_corpus\] is refused: .*posix\.system"):
        read_npz(tmp_path / "x.npz")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("value", "named"), [({1, 2}, "EMPTY_SET"), (frozenset({1}), "FROZENSET"), (Plain(), "Plain")]
)
def test_other_types_are_refused(tmp_path: Path, value: Any, named: str) -> None:
    with pytest.raises(CorpusError, match=named):
        read_pickle(put(tmp_path / "x.pkl", pickle.dumps({"x": value}, protocol=4)))


def crafted(*parts: bytes) -> bytes:
    return b"\x80\x02" + b"".join(parts) + b"."


RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"
NDARRAY = b"cnumpy\nndarray\n"
DTYPE = b"cnumpy\ndtype\n"


def text(value: str) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def number(value: int) -> bytes:
    return f"I{value}\n".encode()


def test_a_type_cannot_be_told_that_bytes_are_pointers(tmp_path: Path) -> None:
    """Flags 0 on an object type made numpy read our bytes as addresses of objects."""
    flags = b"(" + number(3) + text("|") + b"NNN" + number(-1) + number(-1) + number(0) + b"t"
    made = DTYPE + text("O8") + b"I00\nI01\n\x87R" + flags + b"b"
    empty = RECONSTRUCT + b"(" + NDARRAY + b"(" + number(0) + b"t" + text("b") + b"tR"
    state = b"(" + number(1) + b"(" + number(1) + b"t" + made + b"I00\n" + b"U\x08AAAAAAAA" + b"t"
    with pytest.raises(CorpusError, match="list of 1 objects"):
        read_pickle(put(tmp_path / "x.pkl", crafted(empty, state, b"b")))


@pytest.mark.parametrize(
    "content",
    [
        crafted(RECONSTRUCT, b"(", NDARRAY, b"(", number(10**12), b"t", text("d"), b"tR"),  # 8 TB
        crafted(NDARRAY, b"((", number(10**12), b"ttR"),
        crafted(DTYPE, b"(", text("M8[s]"), b"tR"),
        crafted(DTYPE, b"(", b"]", b"tR"),
        crafted(RECONSTRUCT, b"}", text("a"), number(1), b"sb"),  # BUILD on one of numpy's functions
        crafted(b"c_codecs\nencode\n", b"(", text("x"), text("rot13"), b"tR"),
        crafted(b"cbuiltins\nbytes\n", b"(", number(10**12), b"tR"),
        crafted(b"cnumpy\nload\n", b"(", text("/etc/passwd"), b"tR"),
        crafted(b"cnumpy.testing._private.utils\nrunstring\n", b"(", text("1"), b"}tR"),
        crafted(b"Pxyz\n"),
        crafted(b"\x82\x01"),  # extension registry
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.",  # a frame without end
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x0f",  # bytes without end
        b"", b".", b"garbage", b"\x80\x63.", pickle.dumps(PLAIN)[:-20],
    ],
)  # fmt: skip
def test_crafted_pickles_are_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(CorpusError):
        read_pickle(put(tmp_path / "x.pkl", content))


def test_a_huge_memo_index_costs_nothing(tmp_path: Path) -> None:
    """It makes Python's C unpickler take 34 GB."""
    assert read_pickle(put(tmp_path / "x.pkl", crafted(b"]", b"r\xff\xff\xff\x7f"))) == []


@given(st.binary(max_size=200), st.integers(0, 400))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_data_or_a_typed_error(tmp_path: Path, patch: bytes, at: int) -> None:
    whole = pickle.dumps(PLAIN)
    try:
        read_pickle(put(tmp_path / "x.pkl", whole[:at] + patch + whole[at + len(patch) :]))
    except CorpusError:
        return


@given(st.binary(min_size=1, max_size=8), st.integers(0, 1200), st.booleans())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_damage_to_an_archive_is_a_typed_error(
    tmp_path: Path, patch: bytes, at: int, packed: bool
) -> None:
    path = tmp_path / "x.npz"
    save = np.savez_compressed if packed else np.savez
    held: Any = {"a": {"emo": "sad", "val": 1.0}}
    save(path, train_corpus=held, numbers=np.arange(9.0))
    whole = path.read_bytes()
    put(path, whole[:at] + patch + whole[at + len(patch) :])
    npz_members(path)
    try:
        read_npz(path)
    except CorpusError:
        return


def test_an_array_that_promises_more_than_there_is(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.arange(3.0))
    with zipfile.ZipFile(tmp_path / "x.npz") as archive:
        raw = archive.read("x.npy")
    with zipfile.ZipFile(tmp_path / "y.npz", "w") as archive:
        archive.writestr("x.npy", raw.replace(b"(3,), }" + b" " * 12, b"(3000000000000,), }"))
    with pytest.raises(CorpusError, match="expected 24000000000000 bytes, found 24"):
        read_npz(tmp_path / "y.npz")


def test_sizes_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mer.corpora.restricted_pickle as module

    monkeypatch.setattr(module, "MAX_NPZ_BYTES", 10_000)
    monkeypatch.setattr(module, "MAX_INSTRUCTIONS", 1_000)
    monkeypatch.setattr(module, "MAX_PICKLE_BYTES", 5_000)
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros(1_000_000))
    with pytest.raises(CorpusError, match="more than 10000 bytes"):
        read_npz(tmp_path / "bomb.npz")
    with pytest.raises(CorpusError, match="at most 5000"):
        read_pickle(put(tmp_path / "x.pkl", pickle.dumps(b"0" * 6000)))
    with pytest.raises(CorpusError, match="1000 instructions"):
        read_pickle(put(tmp_path / "x.pkl", b"\x80\x04" + b"]" * 2000 + b"."))


def test_what_is_no_npz(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="expected an npz file"):
        read_npz(put(tmp_path / "x.npz", b"nothing"))
    with zipfile.ZipFile(tmp_path / "y.npz", "w") as archive:
        archive.writestr("labels.npy", b"not an array")
    with pytest.raises(CorpusError, match="expected an npy array"):
        read_npz(tmp_path / "y.npz")
    assert npz_members(tmp_path / "x.npz") == ()


def test_numpy_reads_the_same(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.array(PLAIN, dtype=object))
    same(read_npz(tmp_path / "x.npz")["x"], np.load(tmp_path / "x.npz", allow_pickle=True)["x"].item())
