from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_fusion_fit import CLASSES, CLIPS, CONFIG, corpus, fit

from mer.errors import ConfigError
from mer.features.dataset import FeatureTable
from mer.fusion.fit import predict_fusion
from mer.fusion.fitted import FittedFusion, load_fusion, save_fusion
from mer.training.checkpoint import Checkpoint, content_digest

SLOW = CONFIG.model_copy(update={"learning_rate": 1e-6, "epochs": 2, "averaging": 0.0, "seed": 9})
"""Steps so small that a fit stays where it starts."""


@pytest.fixture(scope="module")
def first() -> FittedFusion:
    return fit(CONFIG.model_copy(update={"epochs": 30}))


def test_a_warm_fit_starts_where_the_other_ended(first: FittedFusion) -> None:
    tables, examples, train, _ = corpus()
    warm, cold = fit(SLOW, start=first), fit(SLOW)
    before, after = predict_fusion(first, tables), predict_fusion(warm, tables)
    np.testing.assert_allclose(after.logits, before.logits, atol=1e-3)
    np.testing.assert_allclose(after.valence, before.valence, atol=1e-3)
    test = ~train
    assert (after.predicted == examples.emotion)[test].mean() > 0.8
    assert (predict_fusion(cold, tables).predicted == examples.emotion)[test].mean() < 0.7
    assert warm.history[0]["train_loss"] < cold.history[0]["train_loss"]


def test_features_are_standardised_as_the_first_fit_had_them(first: FittedFusion) -> None:
    """Other training clips would give another mean and scale."""
    _, _, train, _ = corpus()
    fewer = train & (np.arange(CLIPS) % 3 == 0)
    warm = fit(SLOW, start=first, train=fewer)
    for name, own in first.standardisation.items():
        assert torch.equal(warm.standardisation[name].mean, own.mean)
        assert torch.equal(warm.standardisation[name].scale, own.scale)
        assert not torch.equal(fit(SLOW, train=fewer).standardisation[name].mean, own.mean)


def test_streams_come_in_the_first_models_order(first: FittedFusion) -> None:
    tables = corpus()[0]
    turned = fit(start=first, features={name: tables[name] for name in reversed(tables)})
    assert content_digest(turned.tensors) == content_digest(fit(start=first).tensors)
    assert list(turned.widths) == list(first.widths)


def test_a_saved_model_can_be_started_from(tmp_path: Path, first: FittedFusion) -> None:
    save_fusion(tmp_path, first)
    one, other = fit(start=load_fusion(tmp_path)), fit(start=first)
    assert content_digest(one.tensors) == content_digest(other.tensors)


@pytest.mark.parametrize("balance", ["fixed", "uncertainty", "gradnorm"])
@pytest.mark.parametrize("killed_after", [1, 7])
def test_a_killed_warm_fit_ends_where_an_undisturbed_one_does(
    tmp_path: Path, killed_after: int, balance: str
) -> None:
    class Killed(Exception):
        pass

    def kill(done: int, total: int) -> None:
        if done == killed_after:
            raise Killed

    config = CONFIG.model_copy(update={"task_balance": balance, "valence_decoding": "joint"})
    start = fit(config.model_copy(update={"epochs": 3, "seed": 5}))
    checkpoint = Checkpoint(tmp_path / "checkpoint")
    with pytest.raises(Killed):
        fit(config, start=start, checkpoint=checkpoint, progress=kill)
    seen: list[int] = []
    resumed = fit(config, start=start, checkpoint=checkpoint, progress=lambda done, total: seen.append(done))
    whole = fit(config, start=start)
    assert seen[0] == killed_after // 3 * 3 + 1
    assert content_digest(resumed.tensors) == content_digest(whole.tensors)
    assert resumed.history == whole.history and resumed.best_epoch == whole.best_epoch


@pytest.mark.slow
def test_a_checkpoint_from_another_start_is_not_resumed(tmp_path: Path, first: FittedFusion) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoint")
    moved = replace(first, tensors={name: value + 1e-3 for name, value in first.tensors.items()})
    for before, after in ((None, first), (first, moved), (moved, None)):
        checkpoint.clear()
        fit(start=before, checkpoint=checkpoint)
        found, alone = fit(start=after, checkpoint=checkpoint), fit(start=after)
        assert content_digest(found.tensors) == content_digest(alone.tensors)


def test_the_first_model_is_left_as_it_is(first: FittedFusion) -> None:
    before = content_digest(first.tensors)
    fit(start=first)
    assert content_digest(first.tensors) == before


def test_training_options_may_change_from_round_to_round(first: FittedFusion) -> None:
    changes = {"emotion_loss": "generalised", "learning_rate": 1e-4, "dropout": 0.0, "valence_weight": 0.5}
    warm = fit(CONFIG.model_copy(update=changes), start=first)
    assert warm.best_score > 0.8


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "attention"},
        {"hidden": 8},
        {"valence_decoding": "joint"},
        {"task_balance": "uncertainty"},
        {"level": "frames", "frame_statistics": True},
    ],
)
def test_another_structure_is_refused(first: FittedFusion, changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=rf"model to start from was trained with: .*{next(iter(changes))}"):
        fit(CONFIG.model_copy(update=changes), start=first)


def test_other_classes_streams_and_widths_are_refused(first: FittedFusion) -> None:
    tables = corpus()[0]
    with pytest.raises(ConfigError, match="streams"):
        fit(start=first, features={"acoustic": tables["acoustic"]})
    narrow = replace(tables["visual"], values=tables["visual"].values[..., :4])
    assert isinstance(narrow, FeatureTable)
    with pytest.raises(ConfigError, match="expected 6 features, found 4"):
        fit(start=first, features={**tables, "visual": narrow})
    with pytest.raises(ConfigError, match="classes"):
        fit(start=replace(first, classes=tuple(reversed(CLASSES))))
    with pytest.raises(ConfigError, match=r"names and shapes, found 1 others, first emotion\.bias"):
        fit(start=replace(first, tensors={**first.tensors, "emotion.bias": torch.zeros(2)}))
