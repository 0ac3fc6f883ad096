"""Framewise streams: padding, standardisation over frames, length buckets, and fits that end where they should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mer.errors import ConfigError
from mer.examples import Examples
from mer.features.dataset import FeatureTable, RaggedTable
from mer.fusion.config import FusionConfig
from mer.fusion.fit import FusionResumable, fit_fusion, predict_fusion
from mer.fusion.fitted import FittedFusion, load_fusion, save_fusion
from mer.fusion.frames import Frames
from mer.fusion.streams import StreamBatch, StreamTable, drop_streams, standardisation_of
from mer.fusion.train import TrainingData, _batches_of_epoch
from mer.training.checkpoint import Checkpoint, content_digest

CLASSES = ("neutral", "angry", "happy")
CLIPS = 120
CONFIG = FusionConfig(
    model="afg_guided", level="frames", hidden=16, epochs=10, learning_rate=3e-3, dropout=0.1, averaging=0.9,
    checkpoint_epochs=3, modality_dropout=0.2, valence_decoding="joint", task_balance="uncertainty",
)  # fmt: skip


def corpus() -> tuple[dict[str, StreamTable], Examples, np.ndarray, np.ndarray]:
    """Speech of 1 to 12 frames, one of which tells the emotion; a vector of the face for most; valence follows emotion."""
    rng = np.random.default_rng(0)
    emotion = rng.integers(0, 3, size=CLIPS)
    ids = tuple(f"c{i}" for i in range(CLIPS))
    lengths = rng.integers(1, 13, size=CLIPS)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = 0.5 * rng.normal(size=(offsets[-1], 1, 10))
    telling = offsets[:-1] + rng.integers(0, lengths)
    values[telling, 0] += 3 * np.eye(3, 10)[emotion]
    face = 1.2 * rng.normal(size=(3, 6))[emotion] + rng.normal(size=(CLIPS, 6))
    present = rng.random(CLIPS) < 0.8
    tables: dict[str, StreamTable] = {
        "acoustic": RaggedTable(ids, (40 * values - 3).astype(np.float16), offsets, np.ones(CLIPS, bool)),
        "visual": FeatureTable(ids, (face * present[:, None]).astype(np.float32), present),
    }
    valence = (np.array([0.0, -2.5, 1.8])[emotion] + 0.3 * rng.normal(size=CLIPS)).astype(np.float32)
    valence[::9] = np.nan
    speaker = tuple(f"s{i % 10}" for i in range(CLIPS))
    examples = Examples(ids, emotion, valence, speaker, np.zeros(CLIPS, np.int64), np.ones(CLIPS, np.float32))
    group = np.arange(CLIPS) % 10
    return tables, examples, group < 6, (group >= 6) & (group < 8)


def fit(config: FusionConfig = CONFIG, **changes: object) -> FittedFusion:
    tables, examples, train, validation = corpus()
    resume = FusionResumable(
        **{name: changes.pop(name) for name in ("checkpoint", "progress", "start") if name in changes}  # type: ignore[arg-type]
    )
    values = {"features": tables, "examples": examples, "train": train, "validation": validation, **changes}
    return fit_fusion(classes=CLASSES, config=config, resume=resume, **values)  # type: ignore[arg-type]


def part_of(table: StreamTable, rows: np.ndarray) -> StreamTable:
    ids = tuple(table.clip_ids[i] for i in rows)
    if isinstance(table, FeatureTable):
        return FeatureTable(ids, table.values[rows], table.present[rows])
    frames = [table.values[table.offsets[i] : table.offsets[i + 1]] for i in rows]
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in frames])]).astype(np.int64)
    return RaggedTable(ids, np.concatenate(frames), offsets, table.present[rows])


def test_padded_gives_every_frame_once_and_zeros_elsewhere() -> None:
    frames = Frames.of(
        torch.arange(14.0).view(7, 2) + 1, torch.tensor([0, 3, 4, 7]), torch.tensor([True, True, False])
    )
    values, mask = frames.padded(torch.tensor([1, 0, 2]))
    assert mask.tolist() == [[True, False, False], [True, True, True], [False, False, False]]
    assert values[1].tolist() == [[1, 2], [3, 4], [5, 6]] and values[0, 0].tolist() == [7, 8]
    assert (values[~mask] == 0).all()
    nothing, none = frames.padded(torch.tensor([2]))
    assert nothing.shape == (1, 1, 2) and not none.any()


def test_standardisation_counts_frames_of_present_training_clips() -> None:
    table = RaggedTable(
        ("a", "b", "c"), np.array([[1.0], [3.0], [100.0], [8.0]]), np.array([0, 2, 3, 4]),
        np.array([True, True, False]),
    )  # fmt: skip
    own = standardisation_of("acoustic", table, np.array([True, False, True]))
    assert float(own.mean) == 2.0 and float(own.scale) == 1.0


def test_frames_that_are_not_finite_are_named_by_their_clip() -> None:
    tables, *_ = corpus()
    speech = tables["acoustic"]
    assert isinstance(speech, RaggedTable)
    values = speech.values.copy()
    values[speech.offsets[7]] = np.inf
    broken = RaggedTable(speech.clip_ids, values, speech.offsets, speech.present)
    with pytest.raises(ConfigError, match="features of 1 clips are not finite, first c7"):
        fit(features={**tables, "acoustic": broken})


def test_an_epoch_serves_every_clip_once_in_batches_of_similar_length() -> None:
    lengths = torch.tensor([3, 50] * 40)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    frames = Frames.of(torch.zeros(int(offsets[-1]), 1), offsets, torch.ones(80, dtype=torch.bool))
    nothing = torch.zeros(80)
    data = TrainingData(
        StreamBatch({}, {"acoustic": frames.present}, {"acoustic": frames}),
        nothing.long(), nothing, nothing, torch.arange(80), torch.arange(0),
    )  # fmt: skip
    batches = _batches_of_epoch(data, 8, torch.Generator().manual_seed(0))
    assert sorted(torch.cat(batches).tolist()) == list(range(80))
    mixed = sum(len(set(lengths[rows].tolist())) > 1 for rows in batches)
    assert mixed <= 2, "only where one length ends and the other begins"
    again = _batches_of_epoch(data, 8, torch.Generator().manual_seed(1))
    assert [rows.tolist() for rows in again] != [rows.tolist() for rows in batches]


def test_all_frames_of_a_stream_are_hidden_together() -> None:
    present = {
        "acoustic": torch.arange(6)
        < torch.randint(1, 7, (500, 1), generator=torch.Generator().manual_seed(0)),
        "visual": torch.ones(500, dtype=torch.bool),
    }
    kept = drop_streams(present, 0.5, torch.Generator().manual_seed(0))
    whole = (kept["acoustic"] == present["acoustic"]).all(dim=1)
    assert (whole | ~kept["acoustic"].any(dim=1)).all()
    assert 0.2 < float((~whole).float().mean()) < 0.6
    assert (kept["visual"] | whole).all()


@pytest.mark.slow
@pytest.mark.parametrize("model", ["early", "token_attention", "afg_early", "afg_hierarchical", "afg_guided"])
def test_it_learns_from_frames_and_a_vector(model: str) -> None:
    tables, examples, train, validation = corpus()
    fitted = fit(CONFIG.model_copy(update={"model": model, "epochs": 40}))
    posteriors = predict_fusion(fitted, tables)
    test = ~train & ~validation
    assert (posteriors.predicted == examples.emotion)[test].mean() > 0.8
    known = test & ~np.isnan(examples.valence)
    assert np.mean((posteriors.valence - examples.valence)[known] ** 2) < 0.6 * np.var(
        examples.valence[known]
    )


def test_an_answer_does_not_depend_on_the_clips_asked_with_it() -> None:
    tables, *_ = corpus()
    fitted = fit()
    whole = predict_fusion(fitted, tables)
    few = np.array([17, 3, 99])
    part = predict_fusion(fitted, {name: part_of(table, few) for name, table in tables.items()})
    assert part.clip_ids == ("c17", "c3", "c99")
    np.testing.assert_allclose(part.logits, whole.logits[few], atol=1e-5)
    np.testing.assert_allclose(part.valence, whole.valence[few], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("balance", ["uncertainty", "gradnorm"])
def test_a_killed_run_ends_where_an_undisturbed_one_does(tmp_path: Path, balance: str) -> None:
    class Killed(Exception):
        pass

    def kill(done: int, total: int) -> None:
        if done == 7:
            raise Killed

    config = CONFIG.model_copy(update={"task_balance": balance})
    checkpoint = Checkpoint(tmp_path / "checkpoint")
    with pytest.raises(Killed):
        fit(config, checkpoint=checkpoint, progress=kill)
    resumed, whole = fit(config, checkpoint=checkpoint), fit(config)
    assert content_digest(resumed.tensors) == content_digest(whole.tensors)
    assert resumed.history == whole.history


def test_a_saved_model_predicts_the_same(tmp_path: Path) -> None:
    tables, *_ = corpus()
    fitted = fit()
    save_fusion(tmp_path, fitted)
    before, after = predict_fusion(fitted, tables), predict_fusion(load_fusion(tmp_path), tables)
    assert np.array_equal(before.logits, after.logits) and np.array_equal(before.valence, after.valence)


def test_the_combined_score_may_choose_the_epoch() -> None:
    fitted = fit(CONFIG.model_copy(update={"validation_score": "combined", "patience": 0}))
    scores = [row["validation_waf"] - 0.25 * row["validation_valence_mse"] for row in fitted.history]
    assert fitted.best_epoch == int(np.argmax(scores)) + 1
    assert fitted.best_score == fitted.history[fitted.best_epoch - 1]["validation_waf"]
