"""A checkpoint whose header was made on purpose counts as absent: nothing raises, and memory is bounded by the file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from mer.training.checkpoint import Checkpoint, content_digest

DEEP = "[" * 100_000
TENSORS = {"a": torch.zeros(2)}


def file_of(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little", signed=False) + text + data


def with_record(header: Any) -> bytes:
    """A sound file of tensors whose one entry of metadata is `header`."""
    return save(TENSORS, metadata={"checkpoint": header if isinstance(header, str) else json.dumps(header)})


def signed(record: str) -> bytes:
    """A file whose checksum is right, whatever the record is."""
    return with_record({"meta": record, "sha256": content_digest(TENSORS, record)})


def tensor(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


CRAFTED = {
    "empty": b"",
    "seven bytes": b"\0" * 7,
    "no header": file_of(b""),
    "header length of 2^64 - 1": b"\xff" * 8 + b"{}",
    "header longer than the file": file_of(b"{}", length=1 << 20),
    "header of gigabytes": file_of(b"{}", length=1 << 33),
    "no utf-8": file_of(b'{"\xff\xfe": 1}'),
    "NaN": file_of(b'{"a": NaN}'),
    "deep header": file_of(DEEP.encode()),
    "deep objects": file_of(b'{"a":' * 50_000),
    "a list": file_of([]),
    "metadata of numbers": file_of({"__metadata__": {"checkpoint": 1}}),
    "metadata a list": file_of({"__metadata__": []}),
    "no metadata": save(TENSORS),
    "metadata without ours": save(TENSORS, metadata={"other": "x"}),
    "tensors of no kind": file_of(tensor(dtype="F99"), bytes(8)),
    "type a number": file_of(tensor(dtype=1), bytes(8)),
    "huge shape": file_of(tensor(shape=[1 << 62, 1 << 62]), bytes(8)),
    "huge shape of nothing": file_of(tensor(shape=[0, 1 << 62], offsets=[0, 0])),
    "shape beyond 64 bits": file_of(tensor(shape=[1 << 70]), bytes(8)),
    "negative shape": file_of(tensor(shape=[-2]), bytes(8)),
    "shape of text": file_of(tensor(shape="2"), bytes(8)),
    "many dimensions": file_of(tensor(shape=[1] * 10_000 + [2]), bytes(8)),
    "offsets behind the end": file_of(tensor(offsets=[0, 1 << 40]), bytes(8)),
    "offsets turned round": file_of(tensor(offsets=[8, 0]), bytes(8)),
    "negative offsets": file_of(tensor(offsets=[-8, 0]), bytes(8)),
    "offsets of other bytes": file_of(tensor(offsets=[4, 12]), bytes(12)),
    "twice the same name": file_of(
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        bytes(8),
    ),
    "no JSON": with_record("{"),
    "JSON of depth": with_record(DEEP),
    "a record of depth": signed(DEEP),
    "a record of objects": signed('{"a":' * 50_000),
    "a record that is a list": signed("[]"),
    "a record that is a number": signed("1"),
    "a record that is NaN": signed("NaN"),
    "a record of one number": signed("1" * 10_000),
    "no record": with_record({"sha256": "0"}),
    "no checksum": with_record({"meta": "{}"}),
    "a record of no text": with_record({"meta": 1, "sha256": content_digest(TENSORS, "")}),
    "a record of nothing": with_record({"meta": None, "sha256": None}),
    "half a character": with_record('{"meta": "\\ud800", "sha256": "0"}'),
    "checksum a list": with_record({"meta": "{}", "sha256": []}),
    "header a list": with_record([]),
    "header a number": with_record("17"),
    "header null": with_record("null"),
}


@pytest.mark.parametrize("content", CRAFTED.values(), ids=CRAFTED.keys())
def test_a_crafted_file_counts_as_absent(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(content)
    assert Checkpoint(tmp_path / "c").load() is None


def test_a_right_one_is_read(tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(signed('{"epoch": 1}'))
    loaded = Checkpoint(tmp_path / "c").load()
    assert loaded is not None and loaded[1] == {"epoch": 1}


def test_what_is_no_file_counts_as_absent(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("folder", "pipe", "device", "loop", "absent", "no\0name"):
        assert Checkpoint(tmp_path / name).load() is None, name


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    entry=JSON | st.fixed_dictionaries({"dtype": JSON, "shape": JSON, "data_offsets": JSON}),
    record=JSON,
    checksum=JSON,
    flip=st.integers(0, 400),
)
def test_no_header_raises(entry: Any, record: Any, checksum: Any, flip: int, tmp_path: Path) -> None:
    header = json.dumps({"meta": record, "sha256": checksum})
    sound = bytearray(signed('{"epoch": 1}'))
    sound[flip % len(sound)] ^= 0x55
    for content in (
        file_of({"__metadata__": {"checkpoint": header}, "a": entry}, bytes(8)),
        with_record(header),
        signed(json.dumps(record)) if not isinstance(record, dict) else b"",
        bytes(sound),
    ):
        (tmp_path / "c").write_bytes(content)
        assert Checkpoint(tmp_path / "c").load() is None


BOUNDED = """
import resource, sys
from pathlib import Path
from mer.training.checkpoint import Checkpoint
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(Checkpoint(Path(sys.argv[1])).load() is None, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["holes", "tensors of nothing", "lists in a record"])
def test_memory_is_bounded(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "c"
    if kind == "holes":  # 64 GiB of nothing, as the header says
        path.write_bytes(file_of(tensor(shape=[1 << 34], offsets=[0, 1 << 36])))
        os.truncate(path, path.stat().st_size + (1 << 36))
    elif kind == "tensors of nothing":
        names = {
            f"{number:x}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for number in range(400_000)
        }
        path.write_bytes(file_of(names))
    else:
        path.write_bytes(signed("[" + ",".join(["[]"] * 4_000_000) + "]"))
    done = subprocess.run(
        [sys.executable, "-c", BOUNDED, str(path)], capture_output=True, text=True, check=True, timeout=120
    )
    absent, kilobytes = done.stdout.split()
    assert absent == "True" and int(kilobytes) < 1 << 20
