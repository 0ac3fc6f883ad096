"""What is read of pooled hidden states, against plain loops."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mer.clips import Clip
from mer.errors import ConfigError
from mer.features.dataset import FeatureTable, RaggedTable
from mer.features.spec import FeatureSpec
from mer.predictor.loaded import LoadedParts
from mer.predictor.package import ModelPackage
from mer.predictor.reading import BatchReading
from mer.predictor.streams import averaged, frame_spec, read_states
from mer.recipes import AcousticStream, Recipe, StatesRead


def stream(stored: str = "mean_std", **read: object) -> AcousticStream:
    features = FeatureSpec.model_validate({"modality": "acoustic", "source": "s", "pooling": stored})
    return AcousticStream(features=features, read=StatesRead.model_validate(read))


@pytest.fixture
def states() -> FeatureTable:
    """Three clips, five hidden states, four means and four deviations."""
    values = np.random.default_rng(0).normal(size=(3, 5, 8)).astype(np.float32)
    return FeatureTable(("a", "b", "c"), values, np.array([True, False, True]))


def test_takes_are_averaged_and_a_clip_absent_in_one_is_absent() -> None:
    values = np.random.default_rng(1).normal(size=(2, 3, 4)).astype(np.float32)
    takes = [
        FeatureTable(("a", "b", "c"), values[0], np.array([True, True, False])),
        FeatureTable(("a", "b", "c"), values[1], np.array([True, False, False])),
    ]
    mean = averaged(takes)
    np.testing.assert_allclose(mean.values[0], (values[0, 0] + values[1, 0]) / 2, atol=1e-6)
    assert mean.present.tolist() == [True, False, False] and not mean.values[1:].any()
    assert averaged(takes[:1]) is takes[0]


@pytest.mark.parametrize("pooling", [None, "mean_std", "mean"])
@pytest.mark.parametrize("block", [(0,), (4,), (1, 2, 3), (0, 1, 2, 3, 4)])
def test_a_block_is_the_mean_of_its_states(
    block: tuple[int, ...], pooling: str | None, states: FeatureTable
) -> None:
    read = read_states(states, block, stream(start=block[0], length=len(block), pooling=pooling))
    for clip in range(3):
        mean = sum(states.values[clip, layer].astype(np.float64) for layer in block) / len(block)
        wanted = mean[:4] if pooling == "mean" else mean
        np.testing.assert_allclose(read.values[clip], wanted, atol=1e-6)
    assert (read.clip_ids, read.present.tolist()) == (states.clip_ids, [True, False, True])


def test_the_predictor_gets_the_same_from_those_states_alone(states: FeatureTable) -> None:
    own = stream(start=1, length=3, pooling="mean")
    only = FeatureTable(states.clip_ids, states.values[:, 1:4].copy(), states.present)
    np.testing.assert_array_equal(
        read_states(only, range(3), own).values, read_states(states, (1, 2, 3), own).values
    )


def test_one_state_is_read_as_it_is_stored(states: FeatureTable) -> None:
    half = FeatureTable(states.clip_ids, states.values.astype(np.float16), states.present)
    read = read_states(half, (3,), stream())
    assert read.values.dtype == np.float16
    np.testing.assert_array_equal(read.values, half.values[:, 3])


def test_features_without_states_keep_their_values(states: FeatureTable) -> None:
    flat = FeatureTable(states.clip_ids, states.values[:, 0], states.present)
    np.testing.assert_array_equal(read_states(flat, None, stream()).values, flat.values)
    np.testing.assert_array_equal(read_states(flat, None, stream(pooling="mean")).values, flat.values[:, :4])
    means = FeatureTable(states.clip_ids, states.values[:, 0, :4], states.present)
    read = read_states(means, None, AcousticStream(features=stream("mean").features))
    np.testing.assert_array_equal(read.values, means.values)


def test_states_beyond_the_encoder_are_refused(states: FeatureTable) -> None:
    with pytest.raises(
        ConfigError, match="acoustic read: expected hidden states 0 to 4, found a block up to 6"
    ):
        read_states(states, (5, 6), stream(start=5, length=2))
    with pytest.raises(ConfigError, match="ears read: expected"):
        read_states(states, (5, 6), stream(start=5, length=2), "ears")


def test_frames_of_a_block_are_averaged_frame_by_frame() -> None:
    plain = stream()
    assert frame_spec(plain, 3) == plain.features.prefix(3)
    block = frame_spec(stream(start=3, length=2), 0)
    assert block is not None
    assert (block.layers, block.reduce_layers, block.pooling) == ((3, 4), "mean", "frames")
    with pytest.raises(ConfigError, match="found none"):
        frame_spec(plain, None)


class Voice(BatchReading):
    """A reading whose stream is read at several speeds, at one of which the last clip is too short."""

    def _vector(self, name: str) -> FeatureTable:
        clips = self._clips
        rows, values = tuple(clip.name for clip in clips), np.ones((len(clips), 2), dtype=np.float32)
        plain = FeatureTable(rows, values, np.ones(len(clips), dtype=bool))
        faster = FeatureTable(rows, values, np.arange(len(clips)) < len(clips) - 1)
        return averaged([plain, faster])


def test_a_stream_is_evidence_only_where_the_fusion_had_it(tmp_path: Path) -> None:
    recipe = Recipe.model_validate(
        {"name": "x", "streams": {"voice": {"modality": "acoustic", "features": {"source": "s"}}}}
    )
    clips = [Clip(name=name, content=name, path=tmp_path / name, corpus_root=tmp_path) for name in "ab"]
    parts = LoadedParts(ModelPackage(recipe=recipe, system="fused"), tmp_path, tmp_path)
    reading = Voice(parts, clips)
    assert reading.findings().present == {}, "nothing was read yet"
    (table,) = reading.streams("utterance").values()
    assert table.present.tolist() == [True, False]
    assert reading.findings().present["voice"].tolist() == [True, False]


class Frames(BatchReading):
    """A reading that gives one frame of the states that it is asked for."""

    def _frames(self, name: str, spec: FeatureSpec) -> RaggedTable:
        clips = self._clips
        assert isinstance(spec.layers, tuple) and spec.pooling == "frames"
        values = np.ones((len(clips), len(spec.layers), 2), dtype=np.float32)
        offsets = np.arange(len(clips) + 1, dtype=np.int64)
        return RaggedTable(
            tuple(clip.name for clip in clips), values, offsets, np.ones(len(clips), dtype=bool)
        )


def test_of_an_earlier_package_all_states_are_read_frame_by_frame(tmp_path: Path) -> None:
    face = {"features": {"modality": "visual", "source": "seed:clip-tiny", "layers": [1, 2]}}
    record = {"recipe": {"name": "old", "visual": face}, "system": "fused", "read_layer": None}
    parts = LoadedParts(ModelPackage.parse(json.dumps(record)), tmp_path, tmp_path)
    clip = Clip(name="a", content="a", path=tmp_path / "a", corpus_root=tmp_path)
    (table,) = Frames(parts, [clip]).streams("frames").values()
    assert table.values.shape == (1, 2, 2)
