"""Small corpora in the exact layouts of the releases, for the tests of their readers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def touch(root: Path, *names: str) -> None:
    """Files that stand for media (readers look at names only)."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" + name.encode())


def table(root: Path, name: str, text: str) -> None:
    """A csv as spreadsheets save it: byte order mark and CRLF."""
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())


def labels(root: Path, name: str, **parts: Mapping[str, Mapping[str, Any]]) -> None:
    """An npz of pickled 0-d dicts, as `np.savez_compressed` of the toolkit writes it."""
    root.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {f"{part}_corpus": clips for part, clips in parts.items()}
    np.savez_compressed(root / name, **arrays)


def vectors(root: Path, feature_set: str, *names: str, width: int = 4, frames: int | None = None) -> None:
    """Feature files of these clips, filled with different numbers."""
    for number, name in enumerate(names):
        path = root / "features" / feature_set / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (width,) if frames is None else (frames, width)
        np.save(path, np.full(shape, number + 1 + len(feature_set) / 100, dtype=np.float32))


def mer2023_process(root: Path) -> Path:
    """MER2023 after MERTools' preprocessing."""
    labels(
        root,
        "label-6way.npz",
        train={
            "sample_00000001": {"emo": "angry", "val": -2.5},
            "sample_00000002": {"emo": "happy", "val": 2.0},
        },
        test1={"sample_00000003": {"emo": "sad", "val": -1.0}},
        test2={"sample_00000004": {"emo": "worried", "val": np.float64("nan")}},
        test3={"sample_00000005": {"emo": "surprise", "val": -10}},
    )
    table(
        root,
        "transcription-engchi-polish.csv",
        'name,chinese,english\nsample_00000001,"你好, 世界",hello\nsample_00000002,,nothing\n',
    )
    for number in range(1, 7):
        touch(
            root,
            f"video/sample_0000000{number}.{'avi' if number % 2 else 'mp4'}",
            f"audio/sample_0000000{number}.wav",
        )
    touch(root, "openface_face/sample_00000001/sample_00000001.npy")
    vectors(root, "chinese-hubert-large-UTT", "sample_00000001")
    return root


def mmsa_part(
    *ids: str, frames: int = 5, lengths: Mapping[str, Any] | None = None, **extra: Any
) -> dict[str, Any]:
    """One part of an MMSA pickle: clip i has i + 1 frames of sound and pictures, then padding."""
    count = len(ids)
    audio = np.zeros((count, frames, 3), dtype=np.float64)
    vision = np.zeros((count, frames, 2), dtype=np.float32)
    for number in range(count):
        audio[number, : number + 1] = number + 1
        vision[number, : number + 1] = -(number + 1)
    return {
        "id": list(ids),
        "raw_text": [f"Text of {name} " for name in ids],
        "audio": audio,
        "vision": vision,
        "text": np.ones((count, frames, 4), dtype=np.float32),
        "text_bert": np.repeat(
            np.array([[[7] * frames, [1, 1] + [0] * (frames - 2), [0] * frames]]), count, axis=0
        ),
        "regression_labels": np.linspace(-1, 1, count),
        "annotations": ["Negative", "Neutral", "Positive"][:count],
        **(lengths or {}),
        **extra,
    }
