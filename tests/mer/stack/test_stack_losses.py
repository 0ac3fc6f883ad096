"""Losses and soft targets in stacks: a model in a stack is the model alone, and the one `fit_fusion` trains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from stacked_clips import BASE, CLASSES, CLIPS, Clips, made, stack_data

from mer.errors import ConfigError
from mer.fusion.fit import fit_fusion
from mer.fusion.loss_form import loss_form_of
from mer.stack import train as stack
from mer.stack.losses import LossOptions
from mer.stack.state import ModelPlan
from mer.stack.train import ModelOutcome, train_stack
from mer.training.loss_forms import untrained_loss

LOSSES: dict[str, dict[str, object]] = {
    "cross_entropy": {},
    "generalised": {"emotion_loss": "generalised"},
    "symmetric": {"emotion_loss": "symmetric"},
}
BALANCES = ("fixed", "uncertainty", "gradnorm")


def softened(own: Clips, *, hard: bool = False) -> Clips:
    """The same clips with a distribution for most; `hard`: one-hot, the label itself."""
    target = np.random.default_rng(5).dirichlet(np.ones(CLASSES), CLIPS).astype(np.float32)
    if hard:
        target = np.eye(CLASSES, dtype=np.float32)[np.maximum(own.examples.emotion, 0)]
    target[::4] = np.nan
    examples = replace(own.examples, target=target)
    return Clips(own.tables, examples, stack_data(own.tables, examples))


def assert_equal(one: ModelOutcome, other: ModelOutcome, tolerance: float = 1e-5) -> None:
    assert (one.left, one.epochs, one.best_epoch) == (other.left, other.epochs, other.best_epoch)
    for name, value in one.tensors.items():
        torch.testing.assert_close(value, other.tensors[name], atol=tolerance, rtol=0, msg=name)


def neighbours(own: Clips, **changes: object) -> list[ModelPlan]:
    """Models of one shape whose losses have options of their own."""
    focal = {"focal_gamma": 1.5} if "emotion_loss" not in changes else {}
    return [
        own.plan(0, seed=1, loss_power=0.3, loss_reverse=0.2, **focal, **changes),
        own.plan(0, seed=1, loss_power=1.0, loss_log_zero=-7.0, label_smoothing=0.0, **changes),
        own.plan(1, seed=2, loss_forward=3.0, class_weighting="balanced", **changes),
        own.plan(4, seed=5, epochs=2, valence_weight=0.0, class_weighting="effective_number", **changes),
        own.plan(3, seed=5, loss_power=0.05, loss_forward=0.0, **changes),
    ]


@pytest.mark.parametrize("model", ["late", "afg_guided"])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("balance", BALANCES)
@pytest.mark.parametrize("loss", LOSSES)
def test_a_model_in_a_stack_equals_the_model_alone(loss: str, balance: str, soft: bool, model: str) -> None:
    own = softened(made()) if soft else made()
    plans = neighbours(own, model=model, task_balance=balance, **LOSSES[loss])
    for stacked, plan in zip(train_stack(plans, stack_size=5), plans, strict=True):
        assert_equal(stacked, train_stack([plan])[0])


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("balance", BALANCES)
@pytest.mark.parametrize("loss", LOSSES)
def test_without_dropout_it_is_the_model_that_fit_fusion_trains(loss: str, balance: str, soft: bool) -> None:
    own = softened(made(frames=False)) if soft else made(frames=False)
    config = BASE.model_copy(
        update={
            "model": "concat", "level": "utterance", "dropout": 0.0, "class_weighting": "effective_number",
            "effective_beta": 0.9, "task_balance": balance, "loss_power": 0.4, "loss_forward": 0.5, **LOSSES[loss],
        }
    )  # fmt: skip
    view = own.data.view("fold1", *own.masks(1))
    alone = fit_fusion(own.tables, own.examples, *own.masks(1), [str(c) for c in range(CLASSES)], config)
    (stacked,) = train_stack([ModelPlan(config, view)])
    assert stacked.best_epoch == alone.best_epoch
    assert stacked.tensors.keys() == alone.tensors.keys()
    for name, value in alone.tensors.items():
        torch.testing.assert_close(stacked.tensors[name], value, atol=1e-5, rtol=0, msg=name)


@pytest.mark.parametrize("loss", LOSSES)
def test_one_hot_targets_are_labels_and_soft_ones_are_not(loss: str) -> None:
    own = made(frames=False)
    hard, one_hot, soft = (
        train_stack(
            [one.plan(1, level="utterance", model="concat", class_weighting="balanced", **LOSSES[loss])]
        )[0]
        for one in (own, softened(own, hard=True), softened(own))
    )
    assert_equal(one_hot, hard)
    assert any(
        not torch.allclose(value, soft.tensors[name], atol=1e-3) for name, value in hard.tensors.items()
    )


def test_models_with_and_without_soft_targets_share_a_stack() -> None:
    own = made(frames=False)
    plans = [
        one.plan(fold, level="utterance", model="concat", seed=seed)
        for one in (own, softened(own))
        for fold, seed in ((0, 1), (1, 2))
    ]
    assert len({plan.shape for plan in plans}) == 1
    for stacked, plan in zip(train_stack(plans, stack_size=4), plans, strict=True):
        assert_equal(stacked, train_stack([plan])[0])


@pytest.mark.parametrize("loss", LOSSES)
def test_models_that_take_turns_keep_their_options_and_targets(
    monkeypatch: pytest.MonkeyPatch, loss: str
) -> None:
    own = softened(made())
    plans = neighbours(own, model="afg_guided", **LOSSES[loss])
    together = train_stack(plans, stack_size=5)
    monkeypatch.setattr(stack, "MAPPED_BYTES", 1)  # one model at a time
    for one, other in zip(train_stack(plans, stack_size=5), together, strict=True):
        assert_equal(one, other)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_model_has_options_of_its_own(loss: str) -> None:
    plans = neighbours(made(), **LOSSES[loss])
    options = LossOptions.of_plans(plans, torch.device("cpu"))
    forms = [loss_form_of(plan.config) for plan in plans]
    expected = torch.tensor([untrained_loss(form, CLASSES) for form in forms])
    torch.testing.assert_close(options.untrained, expected)
    for k in range(len(plans)):
        own = options.of(slice(k, k + 1)).form
        assert own.kind == forms[k].kind
        assert [float(value) for value in own[1:]] == pytest.approx(list(forms[k][1:]))


def test_losses_part_the_stacks() -> None:
    own = made(frames=False)
    plans = [
        own.plan(0, level="utterance", model="concat", seed=seed, **loss)
        for loss in LOSSES.values()
        for seed in (1, 2)
    ]
    assert len({plan.shape for plan in plans}) == len(LOSSES)
    for stacked, plan in zip(train_stack(plans, stack_size=6), plans, strict=True):
        assert_equal(stacked, train_stack([plan])[0])


def test_options_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match="set focal_gamma to 0"):
        train_stack([made().plan(0, focal_gamma=1.0, **LOSSES["symmetric"])])
