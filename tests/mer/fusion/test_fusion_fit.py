from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mer.errors import ConfigError, DivergedError, WeightsError
from mer.examples import Examples
from mer.features.dataset import FeatureTable
from mer.fusion.config import FusionConfig
from mer.fusion.fit import FusionResumable, fit_fusion, predict_fusion
from mer.fusion.fitted import WEIGHTS_FILE, FittedFusion, load_fusion, save_fusion
from mer.training.checkpoint import Checkpoint, content_digest
from mer.training.folds import inner_validation

CLASSES = ("neutral", "angry", "happy")
CONFIG = FusionConfig(
    hidden=16, epochs=12, learning_rate=2e-3, checkpoint_epochs=3, dropout=0.2, averaging=0.9
)
CLIPS = 160


def corpus() -> tuple[dict[str, FeatureTable], Examples, np.ndarray, np.ndarray]:
    """Audio and video each tell a part of the emotion; a tenth of the video is missing; valence follows
    emotion.
    """
    rng = np.random.default_rng(0)
    emotion = rng.integers(0, 3, size=CLIPS)
    ids = tuple(f"c{i}" for i in range(CLIPS))
    tables = {}
    for name, width in (("acoustic", 12), ("visual", 6)):
        values = 1.2 * rng.normal(size=(3, width))[emotion] + rng.normal(size=(CLIPS, width))
        present = rng.random(CLIPS) < (0.9 if name == "visual" else 1.0)
        scaled = (100 * values + 7).astype(np.float32) * present[:, None]
        tables[name] = FeatureTable(ids, scaled[:, None], present)
    valence = (np.array([0.0, -2.5, 1.8])[emotion] + 0.5 * rng.normal(size=CLIPS)).astype(np.float32)
    valence[::7] = np.nan
    speaker = tuple(f"s{i % 10}" for i in range(CLIPS))
    examples = Examples(ids, emotion, valence, speaker, np.zeros(CLIPS, np.int64), np.ones(CLIPS, np.float32))
    train = np.arange(CLIPS) % 10 < 8  # the last two speakers are for testing
    validation = inner_validation(speaker, ids, emotion, train, 0.25, 1)
    return tables, examples, train & ~validation, validation


def fit(config: FusionConfig = CONFIG, **changes: object) -> FittedFusion:
    tables, examples, train, validation = corpus()
    resume = FusionResumable(
        **{name: changes.pop(name) for name in ("checkpoint", "progress", "start") if name in changes}  # type: ignore[arg-type]
    )
    values = {"features": tables, "examples": examples, "train": train, "validation": validation, **changes}
    return fit_fusion(classes=CLASSES, config=config, resume=resume, **values)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["attention", "attention_softmax", "concat", "late", "afg_hierarchical"])
def test_it_learns_emotion_and_valence(model: str) -> None:
    tables, examples, train, validation = corpus()
    fitted = fit(CONFIG.model_copy(update={"model": model, "epochs": 40}))
    posteriors = predict_fusion(fitted, tables)
    test = ~train & ~validation
    assert (posteriors.predicted == examples.emotion)[test].mean() > 0.8
    known = test & ~np.isnan(examples.valence)
    error = np.mean((posteriors.valence - examples.valence)[known] ** 2)
    assert error < 0.5 * np.var(examples.valence[known])
    best = fitted.history[fitted.best_epoch - 1]
    assert best["validation_waf"] == fitted.best_score == max(row["validation_waf"] for row in fitted.history)


def test_a_missing_modality_degrades_to_the_other() -> None:
    tables, examples, train, validation = corpus()
    fitted = fit(CONFIG.model_copy(update={"epochs": 40, "modality_dropout": 0.3}))
    test = ~train & ~validation
    for name in tables:
        alone = predict_fusion(fitted, {name: tables[name]})
        assert (alone.predicted == examples.emotion)[test & tables[name].present].mean() > 0.55  # chance: 1/3


def test_a_modality_that_no_clip_has_is_missing_whatever_its_width() -> None:
    """All clips of a batch without text: nothing says how wide their vectors would be."""
    tables, _, _, _ = corpus()
    fitted = fit(CONFIG.model_copy(update={"epochs": 2}))
    nobody = FeatureTable(
        tables["visual"].clip_ids, np.zeros((CLIPS, 1, 1), np.float32), np.zeros(CLIPS, dtype=bool)
    )
    alone = predict_fusion(fitted, {"acoustic": tables["acoustic"]})
    together = predict_fusion(fitted, {"acoustic": tables["acoustic"], "visual": nobody})
    np.testing.assert_array_equal(together.logits, alone.logits)
    somebody = FeatureTable(nobody.clip_ids, nobody.values, np.arange(CLIPS) == 3)
    with pytest.raises(ConfigError, match="expected 6 features, found 1"):
        predict_fusion(fitted, {"acoustic": tables["acoustic"], "visual": somebody})


def test_equal_seeds_are_bit_identical_whatever_the_global_generator_says() -> None:
    torch.manual_seed(1)
    first = fit()
    torch.manual_seed(2)
    assert content_digest(first.tensors) == content_digest(fit().tensors)
    assert content_digest(first.tensors) != content_digest(fit(CONFIG.model_copy(update={"seed": 2})).tensors)


@pytest.mark.parametrize("averaging", [0.0, 0.9])
@pytest.mark.parametrize("killed_after", [1, 3, 7, 11])
def test_a_killed_run_ends_where_an_undisturbed_one_does(
    tmp_path: Path, killed_after: int, averaging: float
) -> None:
    class Killed(Exception):
        pass

    def kill(done: int, total: int) -> None:
        if done == killed_after:
            raise Killed

    config = CONFIG.model_copy(update={"averaging": averaging})
    checkpoint = Checkpoint(tmp_path / "checkpoint")
    with pytest.raises(Killed):
        fit(config, checkpoint=checkpoint, progress=kill)
    seen: list[int] = []
    resumed = fit(config, checkpoint=checkpoint, progress=lambda done, total: seen.append(done))
    whole = fit(config)
    assert seen[0] == killed_after // 3 * 3 + 1  # at most one checkpoint interval is done again
    assert content_digest(resumed.tensors) == content_digest(whole.tensors)
    assert resumed.history == whole.history and resumed.best_epoch == whole.best_epoch
    finished = fit(config, checkpoint=checkpoint, progress=lambda *_: pytest.fail("nothing is left to do"))
    assert content_digest(finished.tensors) == content_digest(whole.tensors)


def test_a_checkpoint_of_other_data_is_not_resumed(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoint")
    fit(checkpoint=checkpoint)
    _, examples, _, _ = corpus()
    changed = replace(examples, emotion=np.roll(examples.emotion, 1))
    after, alone = fit(examples=changed, checkpoint=checkpoint), fit(examples=changed)
    assert content_digest(after.tensors) == content_digest(alone.tensors)


def test_a_saved_model_predicts_the_same_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    tables, *_ = corpus()
    fitted = fit()
    save_fusion(tmp_path / "model", fitted)
    assert [path.name for path in (tmp_path / "model").iterdir()] == [WEIGHTS_FILE]
    loaded = load_fusion(tmp_path / "model")
    before, after = predict_fusion(fitted, tables), predict_fusion(loaded, tables)
    assert np.array_equal(before.logits, after.logits) and np.array_equal(before.valence, after.valence)
    assert loaded.config == fitted.config and loaded.best_score == fitted.best_score
    path = tmp_path / "model" / WEIGHTS_FILE
    content = bytearray(path.read_bytes())
    content[-9] ^= 4
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="damaged"):
        load_fusion(tmp_path / "model")


def test_only_training_clips_set_the_standardisation_and_the_weights() -> None:
    tables, examples, train, validation = corpus()
    other = ~train & ~validation
    changed = {
        name: FeatureTable(
            t.clip_ids, np.where(other[:, None, None], 1e4, t.values).astype(np.float32), t.present
        )
        for name, t in tables.items()
    }
    hidden = replace(examples, emotion=np.where(other, -1, examples.emotion))
    assert content_digest(fit().tensors) == content_digest(fit(features=changed, examples=hidden).tensors)


def test_without_valence_nothing_is_said_about_it() -> None:
    _, examples, _, _ = corpus()
    fitted = fit(examples=replace(examples, valence=np.full(CLIPS, np.nan, np.float32)))
    assert np.isnan(predict_fusion(fitted, corpus()[0]).valence).all()
    assert not fitted.predicts_valence


def test_without_validation_the_last_epoch_is_kept() -> None:
    fitted = fit(validation=np.zeros(CLIPS, bool))
    assert fitted.best_epoch == CONFIG.epochs and np.isnan(fitted.best_score)


@pytest.mark.slow
def test_patience_stops_early() -> None:
    fitted = fit(CONFIG.model_copy(update={"epochs": 200, "patience": 4, "patience_steps": 0}))
    assert len(fitted.history) == fitted.best_epoch + 4 < 200


@pytest.mark.slow
def test_patience_counts_steps_where_an_epoch_has_few() -> None:
    _, _, train, _ = corpus()
    steps = -(-int(train.sum()) // CONFIG.batch_size)
    waited = 12 * steps - 1  # steps: the twelfth epoch reaches them
    changes = {"epochs": 200, "patience": 4, "patience_steps": waited, "learning_rate": 0.02}
    fitted = fit(CONFIG.model_copy(update=changes))
    assert len(fitted.history) == fitted.best_epoch + 12 < 200


def test_clips_of_weight_zero_teach_nothing() -> None:
    _, examples, train, _ = corpus()
    half = train & (np.arange(CLIPS) % 2 == 0)
    config = CONFIG.model_copy(update={"batch_size": CLIPS, "modality_dropout": 0.0, "dropout": 0.0})
    weights = np.where(half, 0, 1).astype(np.float32)
    scrambled = replace(
        examples, emotion=np.where(half, (examples.emotion + 1) % 3, examples.emotion), weight=weights
    )
    plain = replace(examples, weight=weights)
    for name, value in fit(config, examples=plain).tensors.items():
        torch.testing.assert_close(value, fit(config, examples=scrambled).tensors[name])


def test_a_loss_that_is_not_finite_ends_in_a_typed_error_after_three_skipped_steps() -> None:
    _, examples, train, _ = corpus()
    valence = examples.valence.copy()
    valence[np.flatnonzero(train)[:1]] = np.inf  # one bad step per epoch: the fourth is too much
    with pytest.raises(DivergedError, match=r"4 steps without finite .*epoch 4"):
        fit(examples=replace(examples, valence=valence))
    three = fit(CONFIG.model_copy(update={"epochs": 3}), examples=replace(examples, valence=valence))
    assert all(torch.isfinite(value).all() for value in three.tensors.values())


def test_batches_of_one_work() -> None:
    fitted = fit(CONFIG.model_copy(update={"batch_size": 1, "epochs": 1}))
    assert np.isfinite(fitted.best_score)


def test_what_cannot_be_learnt_is_refused() -> None:
    tables, examples, train, _ = corpus()
    with pytest.raises(ConfigError, match="at least 2 classes"):
        fit(examples=replace(examples, emotion=np.zeros(CLIPS, np.int64)))
    with pytest.raises(ConfigError, match="clips in both"):
        fit(validation=train)
    with pytest.raises(ConfigError, match="in their order"):
        fit(examples=examples.subset(np.arange(CLIPS)[::-1].copy()))
    broken = tables["visual"].values.copy()
    broken[np.flatnonzero(tables["visual"].present)[0]] = np.nan
    with pytest.raises(ConfigError, match="stream visual: features of 1 clips are not finite"):
        fit(features={**tables, "visual": FeatureTable(examples.clip_ids, broken, tables["visual"].present)})
    fitted = fit(CONFIG.model_copy(update={"epochs": 1}))
    with pytest.raises(ConfigError, match="found also"):
        predict_fusion(fitted, {"thermal": tables["visual"]})
    with pytest.raises(ConfigError, match="expected 12 features, found 6"):
        predict_fusion(fitted, {"acoustic": tables["visual"]})
