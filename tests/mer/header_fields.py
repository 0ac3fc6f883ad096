"""Sound files of every format that users hand us, and changes of the fields in their headers.

A field is 1, 2, 4 or 8 bytes at any place of the first and the last kilobyte; it becomes a number that headers lie with.
"""

from __future__ import annotations

import io
import json
import pickle  # noqa: TID251
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from mer.corpora.clip_texts import read_texts
from mer.corpora.emobox import EmoBoxReader
from mer.corpora.options import ReadingOptions
from mer.corpora.restricted_pickle import read_npz, read_pickle
from mer.corpora.table_file import read_cells
from mer.encoders.weight_files import check_safetensors
from mer.features.feature_file import read_features
from mer.media.sniff import sniff
from mer.media.whole import check_whole
from mer.prediction_files import json_lines, json_text, read_predictions, table_text
from mer.predictions import Prediction
from mer.recipes.yaml_text import read_yaml

_EDGES = (
    0,
    1,
    2,
    127,
    128,
    255,
    256,
    32_767,
    65_535,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
    2**63,
    2**64 - 1,
)
_WINDOW = 1024


@dataclass(frozen=True)
class Change:
    """One field of a header."""

    at: int
    width: int
    value: int
    big_endian: bool

    def apply(self, content: bytes) -> bytes:
        """The content with this field; negative places count from its end."""
        at = self.at % max(1, len(content))
        raw = (self.value % (1 << 8 * self.width)).to_bytes(
            self.width, "big" if self.big_endian else "little"
        )
        return content[:at] + raw + content[at + self.width :]


changes = st.lists(
    st.builds(
        Change,
        at=st.integers(-_WINDOW, _WINDOW),
        width=st.sampled_from([1, 2, 4, 8]),
        value=st.one_of(st.sampled_from(_EDGES), st.integers(0, 2**64 - 1)),
        big_endian=st.booleans(),
    ),
    min_size=1,
    max_size=4,
)


def changed(content: bytes, fields: list[Change]) -> bytes:
    """The content with every change made, one after the other."""
    for change in fields:
        content = change.apply(content)
    return content


def _npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _npz() -> bytes:
    file = io.BytesIO()
    held: Any = {"a": {"emo": "sad", "val": 1.0}}
    np.savez_compressed(file, train_corpus=held, numbers=np.arange(9.0))
    return file.getvalue()


def _safetensors() -> bytes:
    from safetensors.numpy import save

    return save({"a": np.arange(6, dtype=np.float32), "b": np.zeros((2, 3), dtype=np.int8)}, {"format": "pt"})


def _emobox() -> bytes:
    line = {"key": "a", "dataset": "x", "wav": "a.wav", "emo": "sad", "channel": 1, "text": "hello"}
    return (json.dumps(line) + "\n").encode() * 3


def _read_emobox(path: Path) -> None:
    if EmoBoxReader().matches(path.parent):
        EmoBoxReader().read(path.parent, ("sad",), ReadingOptions())


def _read_sound_header(path: Path) -> None:
    check_whole(path, sniff(path))


def _wave() -> bytes:
    samples = np.zeros(1600, dtype="<i2").tobytes()
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 16_000, 32_000, 2, 16)
    head = struct.pack("<4sI4s", b"RIFF", 36 + len(samples), b"WAVE")
    return head + form + struct.pack("<4sI", b"data", len(samples)) + samples


ANSWERS = [
    Prediction(
        name="a",
        path="a.wav",
        probabilities={"sad": 0.75, "happy": 0.25},
        discrete="sad",
        confidence=0.75,
        model="m",
        version=1,
    )
]

READERS: dict[str, tuple[bytes, str, Callable[[Path], Any]]] = {
    "pickle": (pickle.dumps({"train": {"id": ["v$_$1"], "audio": np.ones((1, 2, 3), np.float32)}}), "x.pkl", read_pickle),
    "npz": (_npz(), "x.npz", read_npz),
    "features": (_npy(np.ones((4, 8), np.float32)), "x.npy", read_features),
    "csv": ("name,emotion\na,sad\nb,愤怒\n".encode(), "x.csv", read_cells),
    "utf-16 csv": ("name,emotion\na,sad\n".encode("utf-16"), "x.csv", read_cells),
    "jsonl texts": (b'{"name": "a", "text": "hello"}\n', "x.jsonl", read_texts),
    "emobox": (_emobox(), "x.jsonl", _read_emobox),
    "safetensors": (_safetensors(), "x.safetensors", check_safetensors),
    "predictions": (table_text(ANSWERS, ("sad", "happy")).encode(), "x.csv", read_predictions),
    "predictions json": (json_text(ANSWERS).encode(), "x.json", read_predictions),
    "predictions jsonl": (json_lines(ANSWERS).encode(), "x.jsonl", read_predictions),
    "recipe": (b"name: x\nfusion: {model: concat, epochs: 3}\nemotions: [a, b]\n", "x.yaml",
               lambda path: read_yaml(path.read_text(encoding="utf-8", errors="replace"), "recipe")),
    "headers of wav": (_wave(), "x.wav", _read_sound_header),
}  # fmt: skip
"""Format -> a sound file, its name, and what reads it in this process."""
