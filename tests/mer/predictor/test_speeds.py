"""The served model finds the speeds again that its training read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from mer.clips import Clip
from mer.features.extract import build_extractor, extract_clips
from mer.predictor.loaded import LoadedParts
from mer.predictor.package import ModelPackage
from mer.predictor.reading import BatchReading
from mer.recipes.loading import parse_recipe

RECIPE = """
name: varied
acoustic:
  features: {modality: acoustic, source: "wheel:moonshine-tiny", layers: [1, 2]}
  speeds: [0.9, 1.1]
"""


def test_a_prediction_reads_every_speed_as_training_does(tmp_path: Path) -> None:
    weights_cache = tmp_path / "weights"
    draw = np.random.default_rng(0)
    for name, seconds in (("a", 1.0), ("b", 1.5)):
        soundfile.write(tmp_path / f"{name}.wav", draw.standard_normal(int(16_000 * seconds)) * 0.1, 16_000)
    (tmp_path / "c.wav").write_bytes(b"no sound")
    clips = [
        Clip(content=name, name=name, path=tmp_path / f"{name}.wav", corpus_root=tmp_path) for name in "abc"
    ]
    recipe = parse_recipe(RECIPE, origin="varied")
    parts = LoadedParts(ModelPackage(recipe=recipe, system="fused"), tmp_path, weights_cache)
    tables = BatchReading(parts, clips).variants("acoustic")
    assert [table.values.shape for table in tables] == [(3, 2, 576)] * 3
    for table, spec in zip(tables, recipe.streams["acoustic"].feature_variants, strict=True):
        assert table.present.tolist() == [True, True, False]
        for row, feature in enumerate(extract_clips(build_extractor(spec, weights_cache), clips)):
            np.testing.assert_allclose(table.values[row], feature.values[0], rtol=1e-5, atol=1e-6)
    assert np.abs(tables[1].values[:2] - tables[2].values[:2]).max() > 1e-2
