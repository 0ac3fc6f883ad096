"""Soft targets and the losses that bear wrong labels, in a whole fit."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_fusion_fit import CLASSES, CLIPS, CONFIG, corpus, fit

from mer.errors import ConfigError
from mer.examples import Examples
from mer.fusion.config import FusionConfig
from mer.fusion.fit import _identity, predict_fusion
from mer.fusion.fitted import FittedFusion
from mer.fusion.streams import StreamBatch
from mer.fusion.train import TrainingData
from mer.training.checkpoint import Checkpoint, content_digest

LOSSES: dict[str, dict[str, object]] = {
    "cross_entropy": {"class_weighting": "balanced", "focal_gamma": 1.0},
    "generalised": {"emotion_loss": "generalised", "class_weighting": "effective_number"},
    "symmetric": {"emotion_loss": "symmetric", "loss_forward": 1.0, "task_balance": "uncertainty"},
}


def one_hot(examples: Examples) -> np.ndarray:
    return np.eye(len(CLASSES), dtype=np.float32)[np.maximum(examples.emotion, 0)]


def assert_close(one: FittedFusion, other: FittedFusion, tolerance: float = 1e-5) -> None:
    assert one.best_epoch == other.best_epoch
    for name, value in one.tensors.items():
        torch.testing.assert_close(value, other.tensors[name], atol=tolerance, rtol=0, msg=name)


@pytest.mark.parametrize("loss", LOSSES)
def test_one_hot_targets_train_the_model_that_their_labels_train(loss: str) -> None:
    config = CONFIG.model_copy(update={"epochs": 3, **LOSSES[loss]})
    examples = corpus()[1]
    rows = one_hot(examples)
    rows[::3] = np.nan  # these have their label alone
    assert_close(fit(config, examples=replace(examples, target=rows)), fit(config))


@pytest.mark.parametrize("loss", LOSSES)
def test_soft_targets_teach_their_shares(loss: str) -> None:
    """Every clip of class 0 may be class 1 just as well: the two answers come out alike, which hard labels do not give."""
    tables, examples, train, _ = corpus()
    own = one_hot(examples)
    own[examples.emotion == 0] = [0.5, 0.5, 0.0]
    config = CONFIG.model_copy(
        update={"epochs": 40, **LOSSES[loss], "valence_weight": 0.0, "task_balance": "fixed"}
    )
    clips = train & (examples.emotion == 0)
    apart = {}
    for name, target in (("soft", own), ("hard", None)):
        logits = predict_fusion(fit(config, examples=replace(examples, target=target)), tables).logits[clips]
        apart[name] = float((logits[:, 0] - logits[:, 1]).mean())
    assert apart["soft"] < 0.5 * apart["hard"]


def test_a_hidden_label_hides_its_target() -> None:
    _, examples, train, _ = corpus()
    hidden = train & (np.arange(CLIPS) % 4 == 0)
    blanked = replace(examples, emotion=np.where(hidden, -1, examples.emotion))
    told = [one_hot(examples) for _ in range(2)]
    told[1][hidden] = np.roll(told[1][hidden], 1, axis=1)
    one, other = (fit(examples=replace(blanked, target=target)) for target in told)
    assert content_digest(one.tensors) == content_digest(other.tensors)
    assert content_digest(one.tensors) != content_digest(
        fit(examples=replace(examples, target=told[0])).tensors
    )


def test_distributions_are_the_given_rows_the_labels_and_nothing() -> None:
    examples = corpus()[1].subset(np.arange(4))
    nan = [np.nan] * 3
    given = np.array([[0.2, 0.3, 0.5], nan, [0.6, 0.4, 0.0], nan], np.float32)
    own = replace(examples, emotion=np.array([2, 1, -1, -1]), target=given)
    expected = np.array([[0.2, 0.3, 0.5], [0, 1, 0], [0, 0, 0], [0, 0, 0]], np.float32)
    np.testing.assert_array_equal(own.distributions(3), expected)


def test_targets_that_say_nothing_are_none_at_all() -> None:
    examples = corpus()[1]
    empty = replace(examples, target=np.full((CLIPS, len(CLASSES)), np.nan, np.float32))
    assert empty.distributions(3) is None
    assert content_digest(fit(examples=empty).tensors) == content_digest(fit().tensors)


def test_a_checkpoint_of_other_targets_is_not_resumed(tmp_path: Path) -> None:
    examples = corpus()[1]
    checkpoint = Checkpoint(tmp_path / "checkpoint")
    soft = 0.8 * one_hot(examples) + np.float32(0.2 / 3)
    for target in (None, soft, np.roll(soft, 1, axis=0)):
        own = replace(examples, target=target)
        found, alone = fit(examples=own, checkpoint=checkpoint), fit(examples=own)
        assert content_digest(found.tensors) == content_digest(alone.tensors)


def test_a_killed_fit_on_soft_targets_ends_where_an_undisturbed_one_does(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(done: int, total: int) -> None:
        if done == 7:
            raise Killed

    examples = corpus()[1]
    own = replace(examples, target=0.8 * one_hot(examples) + np.float32(0.2 / 3))
    config = CONFIG.model_copy(update=LOSSES["symmetric"])
    checkpoint = Checkpoint(tmp_path / "checkpoint")
    with pytest.raises(Killed):
        fit(config, examples=own, checkpoint=checkpoint, progress=kill)
    resumed, whole = fit(config, examples=own, checkpoint=checkpoint), fit(config, examples=own)
    assert content_digest(resumed.tensors) == content_digest(whole.tensors)
    assert resumed.history == whole.history


def test_checkpoints_written_before_there_were_other_losses_stay_valid() -> None:
    """The identity is the one of then: of the options that there were, and of no targets."""
    streams = StreamBatch({"acoustic": torch.arange(12.0).reshape(6, 2)}, {"acoustic": torch.ones(6).bool()})
    own = {
        "emotion": torch.tensor([0, 1, 0, 1, 0, -1]), "valence": torch.zeros(6), "weight": torch.ones(6),
        "train": torch.arange(4), "validation": torch.tensor([4]),
    }  # fmt: skip
    data, classes = TrainingData(streams, **own), ["a", "b"]
    added = {"emotion_loss", "loss_power", "loss_forward", "loss_reverse", "loss_log_zero"}
    record = {"config": FusionConfig().model_dump(mode="json", exclude=added), "classes": classes}
    tensors = {
        "values.acoustic": streams.values["acoustic"],
        "present.acoustic": streams.present["acoustic"],
        **own,
    }
    before = hashlib.sha256(
        (json.dumps(record, sort_keys=True) + content_digest(tensors)).encode()
    ).hexdigest()
    assert _identity(data, FusionConfig(), classes) == before
    others = [
        _identity(data, FusionConfig(emotion_loss="generalised"), classes),
        _identity(data, FusionConfig(emotion_loss="generalised", loss_power=0.5), classes),
        _identity(replace(data, target=torch.eye(2)[[0, 1, 0, 1, 0, 0]]), FusionConfig(), classes),
        _identity(data, FusionConfig(), classes, {"emotion.bias": torch.zeros(2)}),
    ]
    assert len({before, *others}) == 5


def test_what_is_no_distribution_is_refused() -> None:
    examples = corpus()[1]
    sound = one_hot(examples)
    for row, told in (
        ([0.5, 0.2, 0.2], "first c7"),
        ([1.5, -0.5, 0.0], "first c7"),
        ([0.5, np.nan, 0.5], "found 1 others"),
        ([np.inf, 0.0, 0.0], "found 1 others"),
    ):
        broken = sound.copy()
        broken[7] = row
        with pytest.raises(ConfigError, match=f"distributions .*{told}"):
            replace(examples, target=broken)
    for shape in ((CLIPS - 1, 3), (CLIPS,)):
        with pytest.raises(ConfigError, match=rf"shape \({CLIPS}, classes\)"):
            replace(examples, target=np.ones(shape, np.float32))
    with pytest.raises(ConfigError, match="of 3 classes, found targets of 4"):
        fit(examples=replace(examples, target=np.eye(4, dtype=np.float32)[examples.emotion]))


def test_a_subset_keeps_its_targets() -> None:
    examples = corpus()[1]
    own = replace(examples, target=0.8 * one_hot(examples) + np.float32(0.2 / 3))
    rows = np.array([5, 2, 11])
    found = own.subset(rows).target
    assert found is not None and own.target is not None
    np.testing.assert_array_equal(found, own.target[rows])


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_learns_emotion_and_valence(loss: str) -> None:
    tables, examples, train, validation = corpus()
    fitted = fit(CONFIG.model_copy(update={"epochs": 40, **LOSSES[loss]}))
    posteriors = predict_fusion(fitted, tables)
    test = ~train & ~validation
    assert (posteriors.predicted == examples.emotion)[test].mean() > 0.8
    known = test & ~np.isnan(examples.valence)
    assert np.mean((posteriors.valence - examples.valence)[known] ** 2) < 0.5 * np.var(
        examples.valence[known]
    )
