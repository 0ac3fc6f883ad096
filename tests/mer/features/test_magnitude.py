"""A value beyond all measure leaves one clip's feature out, by name; it never ends a run."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from mer.clips import Clip
from mer.errors import CorpusError, MediaError, QuarantineReason
from mer.features.clip_feature import NOT_FINITE, ClipFeature, bearable
from mer.features.extract import build_extractor, extract_clips
from mer.features.feature_file import read_features
from mer.features.shard import read_shard, write_shard
from mer.features.spec import FeatureSpec
from mer.validation.check import check_features
from mer.validation.magnitude import MAX_MAGNITUDE, is_bearable

BAD = {"nan": np.nan, "infinity": -np.inf, "1e30": 1e30, "-1e16": -1e16}


def precomputed(root: Path, value: float, clips: int = 3) -> list[Clip]:
    folder = root / "features" / "mine"
    folder.mkdir(parents=True)
    for number in range(clips):
        values = np.full((4, 5), number + 1.0, dtype=np.float32)
        if number == 1:
            values[2, 3] = value
        np.save(folder / f"clip{number}.npy", values)
    return [
        Clip(name=f"clip{number}", content=f"c{number}", path=root / f"clip{number}", corpus_root=root)
        for number in range(clips)
    ]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("pooling", ["frames", "mean", "statistics"])
def test_a_precomputed_clip_beyond_measure_is_left_out_by_name(
    bad: str, pooling: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clips = precomputed(tmp_path, BAD[bad])
    spec = FeatureSpec.model_validate({"modality": "gaze", "source": "files:mine", "pooling": pooling})
    features = extract_clips(build_extractor(spec, tmp_path), clips)
    assert [feature.present for feature in features] == [True, False, True]
    assert features[1].flags == (QuarantineReason.BAD_FEATURES.value,)
    assert not features[1].values.any()
    (line,) = caplog.messages
    assert "clip 'clip1'" in line and "clip1.npy: expected values within 1e+15, found" in line


@pytest.mark.parametrize(
    ("value", "found"), [(np.nan, "NaN"), (np.inf, "infinity"), (1e30, "1e+30"), (-2e15, "-2e+15")]
)
def test_the_file_and_the_value_are_named(value: float, found: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([1.0, value]))
    with pytest.raises(MediaError, match=r"x\.npy: expected values within 1e\+15, found ") as refused:
        read_features(tmp_path / "x.npy")
    assert str(refused.value).endswith(found)


@pytest.mark.parametrize("value", [0.0, -1e13, MAX_MAGNITUDE])
def test_large_values_that_are_honest_are_kept(value: float, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([1.0, value], dtype=np.float32))
    assert read_features(tmp_path / "x.npy")[0, 1] == np.float32(value)


@pytest.mark.parametrize("bad", BAD)
def test_what_an_encoder_computed_beyond_measure_is_masked_by_the_clips_name(
    bad: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec = FeatureSpec.model_validate({"modality": "acoustic", "source": "wheel:moonshine-tiny"})
    clip = Clip(name="loud", content="c", path=tmp_path / "loud.wav", corpus_root=tmp_path)
    feature = ClipFeature(np.array([[1.0, BAD[bad]]], dtype=np.float32), present=True, flags=("cut",))
    with caplog.at_level(logging.WARNING):
        left_out = bearable(feature, spec, clip)
    assert (left_out.present, left_out.flags) == (False, ("cut", NOT_FINITE))
    assert "clip 'loud'" in caplog.text and str(clip.path) in caplog.text
    fine = ClipFeature(np.ones((1, 2), dtype=np.float32), present=True)
    assert bearable(fine, spec, clip) is fine


@pytest.mark.parametrize("bad", BAD)
def test_no_shard_holds_such_a_value(bad: str, tmp_path: Path) -> None:
    values = np.array([[1.0, BAD[bad]]], dtype=np.float32)
    write_shard(tmp_path, ["a", "b"], [ClipFeature(values, True), ClipFeature(np.ones_like(values), True)])
    shard = read_shard(tmp_path)
    assert shard.present.tolist() == [False, True] and shard.flags[0] == (NOT_FINITE,)
    assert np.isfinite(shard.values).all()
    with pytest.raises(CorpusError, match="clip a: expected: has finite values within 1e15 only"):
        check_features(["a"], values, np.array([0, 1]), np.array([True]))


def test_pictures_are_bearable_whatever_they_show() -> None:
    assert is_bearable(np.full((2, 3), 255, dtype=np.uint8)).all()
    assert is_bearable(np.array([np.float16(65504), np.float16(np.nan)])).tolist() == [True, False]
