"""Coarser frames and a clip's statistics against loops over clips, and models that read them."""

from __future__ import annotations

import numpy as np
import pytest

from mer.errors import ConfigError
from mer.examples import Examples
from mer.features.dataset import FeatureTable, RaggedTable
from mer.fusion.config import FusionConfig
from mer.fusion.fit import fit_fusion, predict_fusion
from mer.fusion.fitted import FittedFusion
from mer.fusion.windows import clip_statistics, read_tables, windowed
from mer.posteriors import Posteriors

CLIPS = 90


def ragged(seed: int = 0, clips: int = CLIPS) -> RaggedTable:
    """Speech of 1 to 11 frames of (1, 5) float16 numbers; every eighth clip is absent."""
    rng = np.random.default_rng(seed)
    present = np.arange(clips) % 8 != 3
    lengths = np.where(present, rng.integers(1, 12, size=clips), 1)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = rng.normal(3, 2, size=(offsets[-1], 1, 5)) * np.repeat(present, lengths)[:, None, None]
    return RaggedTable(tuple(f"c{i}" for i in range(clips)), values.astype(np.float16), offsets, present)


def frames_of(table: RaggedTable, clip: int) -> np.ndarray:
    return table.values[table.offsets[clip] : table.offsets[clip + 1]].astype(np.float64)


@pytest.mark.parametrize("frames", [2, 3, 50])
def test_windows_are_means_of_neighbours_of_one_clip(frames: int) -> None:
    table = ragged()
    coarse = windowed(table, frames)
    assert coarse.clip_ids == table.clip_ids and np.array_equal(coarse.present, table.present)
    for clip in range(CLIPS):
        own = frames_of(table, clip)
        expected = [own[i : i + frames].mean(axis=0) for i in range(0, len(own), frames)]
        np.testing.assert_allclose(frames_of(coarse, clip), expected, atol=1e-5)


def test_a_window_of_one_frame_changes_nothing() -> None:
    table = ragged()
    assert windowed(table, 1) is table


def test_statistics_are_mean_and_deviation_over_a_clips_frames() -> None:
    table = ragged()
    found = clip_statistics(table)
    for clip in range(CLIPS):
        own = frames_of(table, clip)[:, 0]
        expected = np.concatenate([own.mean(axis=0), own.std(axis=0)]) * table.present[clip]
        np.testing.assert_allclose(found.values[clip], expected, atol=2e-3)


def test_statistics_are_of_the_frames_and_not_of_the_windows() -> None:
    config = FusionConfig(frame_window=4, frame_statistics=True)
    read = read_tables({"acoustic": ragged()}, config)
    assert list(read) == ["acoustic", "acoustic/statistics"]
    np.testing.assert_array_equal(read["acoustic/statistics"].values, clip_statistics(ragged()).values)


def test_statistics_take_no_streams_place() -> None:
    vectors = FeatureTable(
        ragged().clip_ids, np.ones((len(ragged().clip_ids), 3), np.float32), ragged().present
    )
    both = {"acoustic": ragged(), "acoustic/statistics": vectors}
    assert set(read_tables(both, FusionConfig())) == set(both)
    for order in (both, dict(reversed(both.items()))):
        with pytest.raises(ConfigError, match="stream acoustic/statistics: expected another name"):
            read_tables(order, FusionConfig(frame_statistics=True))


def test_vectors_pass_as_they_are() -> None:
    vectors = FeatureTable(("a",), np.ones((1, 3), np.float32), np.ones(1, bool))
    read = read_tables({"visual": vectors}, FusionConfig(frame_window=4, frame_statistics=True))
    assert read == {"visual": vectors}


def spread_corpus() -> tuple[RaggedTable, Examples]:
    """Only the spread of the frames tells the emotion; no single frame and no mean does."""
    rng = np.random.default_rng(1)
    emotion = rng.integers(0, 2, size=CLIPS)
    offsets = np.arange(CLIPS + 1) * 16
    half = rng.normal(size=(CLIPS, 8, 6)) * np.where(emotion == 0, 0.7, 1.3)[:, None, None]
    values = np.concatenate([half, -half], axis=1).reshape(-1, 1, 6)
    ids = tuple(f"c{i}" for i in range(CLIPS))
    table = RaggedTable(ids, values.astype(np.float32), offsets, np.ones(CLIPS, bool))
    nothing = np.full(CLIPS, np.nan, np.float32)
    speakers = tuple(f"s{i % 9}" for i in range(CLIPS))
    folds, weights = np.zeros(CLIPS, np.int64), np.ones(CLIPS, np.float32)
    return table, Examples(ids, emotion, nothing, speakers, folds, weights)


def fit(config: FusionConfig) -> tuple[FittedFusion, float]:
    table, examples = spread_corpus()
    group = np.arange(CLIPS) % 9
    fitted = fit_fusion({"acoustic": table}, examples, group < 5, group == 5, ("a", "b"), config)
    right = predict_fusion(fitted, {"acoustic": table}).predicted == examples.emotion
    return fitted, float(right[group > 5].mean())


def test_what_only_the_spread_tells_is_learnt_from_statistics() -> None:
    options = {"model": "afg_hierarchical", "level": "frames", "hidden": 16, "epochs": 40, "dropout": 0.0}
    rates = {"learning_rate": 5e-3, "averaging": 0.0, "frame_window": 16}
    without = FusionConfig.model_validate({**options, **rates})
    fitted, score = fit(without.model_copy(update={"frame_statistics": True}))
    assert fitted.widths == {"acoustic": 6, "acoustic/statistics": 12}
    assert score > 0.9 > 0.7 > fit(without)[1]


def test_without_speech_its_statistics_are_missing_as_well() -> None:
    config = FusionConfig(model="afg_guided", level="frames", hidden=8, epochs=3, frame_statistics=True)
    table, examples = spread_corpus()
    face = FeatureTable(table.clip_ids, np.eye(CLIPS, 4, dtype=np.float32), np.ones(CLIPS, bool))
    group = np.arange(CLIPS) % 9
    both = {"acoustic": table, "visual": face}
    fitted = fit_fusion(both, examples, group < 5, group == 5, ("a", "b"), config)
    absent = RaggedTable(
        table.clip_ids, np.zeros((CLIPS, 1, 6), np.float32), np.arange(CLIPS + 1), np.zeros(CLIPS, bool)
    )
    alone: Posteriors = predict_fusion(fitted, {"visual": face})
    masked = predict_fusion(fitted, {"acoustic": absent, "visual": face})
    np.testing.assert_allclose(alone.logits, masked.logits, atol=1e-6)
    assert not np.allclose(alone.logits, predict_fusion(fitted, both).logits, atol=1e-3)
