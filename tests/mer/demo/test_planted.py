from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from mer.demo import DemoConfig, generate_demo
from mer.demo.planted import TELEPHONE, Batch, add_batch
from mer.media.audio import decode_audio


def test_a_batch_is_added_to_the_corpus_with_what_was_planted(tmp_path: Path) -> None:
    root = generate_demo(tmp_path / "clips", DemoConfig(clips=12, broken=0, picture_size=64))
    before = (root / "labels.csv").read_text(encoding="utf-8").splitlines()
    quiet = add_batch(root, Batch("quiet", 12, seed=5), size=64)
    phone = add_batch(
        root, Batch("phone", 12, seed=5, channel=TELEPHONE, labelled=True, wrong_labels=True), size=64
    )
    flood = add_batch(root, Batch("flood", 12, seed=5, only="surprise"), size=64)
    assert (root / "labels.csv").read_text(encoding="utf-8").splitlines()[: len(before)] == before
    rows = {
        row["name"]: row
        for row in csv.DictReader((root / "labels.csv").read_text(encoding="utf-8").splitlines())
    }
    assert len(rows) == 48 and all((root / "video" / f"{name}.mp4").is_file() for name in rows)
    assert {rows[name]["emotion"] for name in (*quiet, *flood)} == {""}
    assert all(rows[name]["emotion"] and rows[name]["split"] == "train" for name in phone)
    assert not {rows[name]["speaker"] for name in phone} & {rows[name]["speaker"] for name in quiet}
    plain, over = (decode_audio(root / "video" / f"{names[0]}.mp4") for names in (quiet, phone))
    assert _level(over) < 0.7 * _level(plain) and plain.size == over.size


def _level(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples))))
