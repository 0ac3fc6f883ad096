"""Every fusion model in a stack, on vectors and on frames: it is the model trained alone, and the one `fit_fusion` trains."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import torch
from stacked_clips import BASE, CLASSES, CLIPS, WIDTHS, Clips, made, stack_data

from mer.features.dataset import RaggedTable
from mer.fusion.config import BUILT_IN_MODELS, AudioGuidedConfig
from mer.fusion.fit import fit_fusion
from mer.fusion.fitted import FittedFusion
from mer.fusion.interface import FusionShape, build_fusion
from mer.stack import epoch as stack_epoch
from mer.stack import step as stack_step
from mer.stack.models import build_stacked
from mer.stack.state import ModelPlan
from mer.stack.train import ModelOutcome, train_stack

LEVELS = ("utterance", "frames")
QUICK = ("attention", "late", "afg_guided", "audio_guided")
MODELS = [m if m in QUICK else pytest.param(m, marks=pytest.mark.slow) for m in BUILT_IN_MODELS]
TASKS = {
    "plain": {},
    "joint": {"valence_decoding": "joint"},
    "reading": {"valence_decoding": "joint", "posterior_gradient": False},
    "uncertainty": {"valence_decoding": "joint", "task_balance": "uncertainty", "focal_gamma": 1.5},
    "gradnorm": {"task_balance": "gradnorm", "focal_gamma": 0.5},
    "generalised": {"emotion_loss": "generalised", "task_balance": "gradnorm", "focal_gamma": 0.0},
    "symmetric": {"emotion_loss": "symmetric", "task_balance": "uncertainty", "focal_gamma": 0.0},
}


@cache
def clips(level: str) -> Clips:
    return made(frames=level == "frames")


def assert_equal(one: ModelOutcome, other: ModelOutcome, tolerance: float = 1e-5) -> None:
    assert (one.left, one.epochs, one.best_epoch) == (other.left, other.epochs, other.best_epoch)
    assert one.tensors.keys() == other.tensors.keys()
    for name, value in one.tensors.items():
        torch.testing.assert_close(
            value, other.tensors[name], atol=tolerance, rtol=0, msg=lambda t, n=name: f"{n}: {t}"
        )


def neighbours(level: str, **changes: object) -> list[ModelPlan]:
    """Models of one shape that differ in everything that may differ, batches included."""
    own, changes = clips(level), {"level": level, **changes}
    return [
        own.plan(0, seed=1, learning_rate=1e-3, weight_decay=0.0, **changes),
        own.plan(0, seed=1, learning_rate=1e-2, dropout=0.0, label_smoothing=0.0, **changes),
        own.plan(1, seed=2, weight_decay=1e-2, averaging=0.0, **{"focal_gamma": 2.0, **changes}),
        own.plan(3, seed=1, modality_dropout=0.0, gradient_clip=0.05, **changes),
        own.plan(4, seed=5, epochs=2, valence_weight=0.0, **changes),
        own.plan(3, seed=5, balance_rate=0.1, gradnorm_alpha=1.5, valence_weight=0.3, **changes),
    ]


@pytest.mark.parametrize("size", [None, 4])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("model", MODELS)
def test_a_model_in_a_stack_equals_the_model_alone(model: str, level: str, size: int | None) -> None:
    """With a size of 4, models that read batches of other lengths are padded together."""
    tasks = TASKS["uncertainty"] if size else TASKS["plain"]
    plans = neighbours(level, model=model, **{k: v for k, v in tasks.items() if k != "focal_gamma"})
    for stacked, own in zip(train_stack(plans, stack_size=size), plans, strict=True):
        assert_equal(stacked, train_stack([own])[0])


@pytest.mark.parametrize("tasks", TASKS)
@pytest.mark.parametrize("model", ["attention", "concat", "late", "afg_guided"])
def test_so_it_is_with_both_tasks_balanced(model: str, tasks: str) -> None:
    plans = neighbours("frames", model=model, **TASKS[tasks])
    for stacked, own in zip(train_stack(plans, stack_size=6), plans, strict=True):
        assert_equal(stacked, train_stack([own])[0])


def fitted(own: ModelPlan, level: str, fold: int) -> FittedFusion:
    names = [str(c) for c in range(CLASSES)]
    return fit_fusion(
        clips(level).tables, clips(level).examples, *clips(level).masks(fold), names, own.config
    )


@pytest.mark.parametrize("tasks", TASKS)
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("model", MODELS)
def test_without_dropout_it_is_the_model_that_fit_fusion_trains(model: str, level: str, tasks: str) -> None:
    own = clips(level).plan(
        3, model=model, level=level, dropout=0.0, modality_dropout=0.25, seed=3, class_weighting="effective_number",
        effective_beta=0.9, validation_score="combined", epochs=3, **TASKS[tasks],
    )  # fmt: skip
    assert len(own.view.train) % own.config.batch_size, "every batch is full: nothing is padded"
    alone = fitted(own, level, 3)
    (stacked,) = train_stack([own])
    assert stacked.best_epoch == alone.best_epoch
    assert list(stacked.scores) == pytest.approx([entry["validation_waf"] for entry in alone.history])
    assert stacked.tensors.keys() == alone.tensors.keys()
    for name, value in alone.tensors.items():
        torch.testing.assert_close(
            stacked.tensors[name], value, atol=1e-4, rtol=0, msg=lambda t, n=name: f"{n}: {t}"
        )


@pytest.mark.parametrize("balance", ["fixed", "uncertainty", "gradnorm"])
def test_batches_without_labels_of_a_task_are_treated_as_in_a_fit(balance: str) -> None:
    """Valence is known of a few clips and emotion of half of them, so that batches of four often lack one."""
    few = made()
    few.examples.valence[np.arange(CLIPS) % 9 != 0] = np.nan
    few.examples.emotion[np.arange(CLIPS) % 2 == 0] = -1
    view = stack_data(few.tables, few.examples).view("few", *few.masks(1))
    changes = {"batch_size": 4, "dropout": 0.0, "task_balance": balance, "balance_rate": 0.1, "model": "late"}
    config = BASE.model_copy(update=changes)
    alone = fit_fusion(few.tables, few.examples, *few.masks(1), [str(c) for c in range(CLASSES)], config)
    (stacked,) = train_stack([ModelPlan(config, view)])
    for name, value in alone.tensors.items():
        torch.testing.assert_close(
            stacked.tensors[name], value, atol=1e-4, rtol=0, msg=lambda t, n=name: f"{n}: {t}"
        )


@pytest.mark.parametrize("score", ["waf", "loss", "combined"])
def test_the_epoch_is_kept_that_the_validation_score_names(score: str) -> None:
    """Forty epochs at a large step: the three scores do not agree."""
    own = clips("utterance").plan(
        2, model="late", dropout=0.0, epochs=40, learning_rate=0.05, averaging=0.0, validation_score=score,
        valence_decoding="joint", modality_dropout=0.0,
    )  # fmt: skip
    alone = fitted(own, "utterance", 2)
    (stacked,) = train_stack([own])
    assert stacked.best_epoch == alone.best_epoch
    chosen = {
        "waf": [row["validation_waf"] for row in alone.history],
        "loss": [-row["validation_loss"] for row in alone.history],
        "combined": [row["validation_waf"] - 0.25 * row["validation_valence_mse"] for row in alone.history],
    }
    assert chosen[score][stacked.best_epoch - 1] == max(chosen[score])
    assert len({int(np.argmax(values)) for values in chosen.values()}) > 1, (
        "the scores agree: nothing is tested"
    )


def test_without_valence_the_combined_score_is_weighted_f1() -> None:
    own = clips("utterance")
    silent = made(frames=False)
    silent.examples.valence[:] = np.nan
    data = stack_data(silent.tables, silent.examples)
    both = [
        ModelPlan(
            BASE.model_copy(update={"validation_score": score, "epochs": 8}), data.view("v", *own.masks(0))
        )
        for score in ("waf", "combined")
    ]
    assert_equal(*train_stack(both), tolerance=0)


@pytest.mark.parametrize("decoding", ["separate", "joint"])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("model", BUILT_IN_MODELS)
def test_a_stacked_forward_is_the_models_own(model: str, level: str, decoding: str) -> None:
    own, rows = clips(level), torch.arange(0, 40)
    view = own.plan(0).view
    config = BASE.model_copy(update={"model": model, "level": level, "valence_decoding": decoding})
    shape = FusionShape(WIDTHS, CLASSES)
    stacked = build_stacked(shape, config)
    train = (own.examples.emotion, own.examples.valence)
    each = [stacked.initial(torch.Generator().manual_seed(seed), *train, config) for seed in (1, 2, 3)]
    batch = view.batch(rows, reads_frames=stacked.reads_frames)
    logits, valence = stacked.forward({n: torch.stack([p[n] for p in each]) for n in each[0]}, batch, None)
    read = view.batch(rows, reads_frames=True)
    inputs = {name: values[0] for name, values in read.values.items()}
    present = {name: mask[0, :, :, 0] > 0 for name, mask in read.present.items()}
    for k, parameters in enumerate(each):
        twin = build_fusion(shape, config).eval()
        twin.load_state_dict(stacked.state_dict(parameters))
        expected = twin(inputs, present)
        torch.testing.assert_close(logits[k], expected.emotion_logits, atol=1e-5, rtol=0)
        torch.testing.assert_close(valence[k], expected.valence, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "model",
    [
        m
        for m in BUILT_IN_MODELS
        if m not in ("attention", "attention_softmax", "attention_queries", "concat", "late")
    ],
)
def test_padding_and_its_order_change_nothing(model: str) -> None:
    config = BASE.model_copy(update={"model": model, "valence_decoding": "joint"})
    stacked = build_stacked(FusionShape(WIDTHS, CLASSES), config)
    own = clips("frames")
    each = [
        stacked.initial(torch.Generator().manual_seed(s), own.examples.emotion, own.examples.valence, config)
        for s in (1, 2)
    ]
    parameters = {n: torch.stack([p[n] for p in each]) for n in each[0]}
    batch = own.plan(0).view.batch(torch.arange(20), reads_frames=True)
    before = stacked.forward(parameters, batch, None)
    for stretch in (1e4, -3.0):
        longer = {n: torch.cat([v, torch.zeros_like(v)], dim=2) for n, v in batch.values.items()}
        masks = {n: torch.cat([m, torch.zeros_like(m)], dim=2) for n, m in batch.present.items()}
        noise = {
            n: torch.randn(v.shape, generator=torch.Generator().manual_seed(0)) * stretch
            for n, v in longer.items()
        }
        # hidden by the mask alone, as a stream is that modality dropout hides
        hidden = type(batch)(
            {n: v + noise[n] * (masks[n] == 0) for n, v in longer.items()}, masks, hides=True
        )
        for one, other in zip(stacked.forward(parameters, hidden.shown(), None), before, strict=True):
            torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


def test_permuting_the_frames_of_the_store_that_no_clip_reads_changes_nothing() -> None:
    """What lies between clips in memory is never read: not even by their statistics."""
    own = clips("frames")
    speech = own.tables["acoustic"]
    assert isinstance(speech, RaggedTable)
    first, counts = own.data.frames["acoustic"].first, own.data.frames["acoustic"].counts
    store = own.data.frames["acoustic"].store
    gapped = torch.full((3 * len(store.values), store.values.shape[1]), torch.nan)
    places = 3 * first
    for clip in range(CLIPS):
        gapped[places[clip] : places[clip] + counts[clip]] = store.values[
            first[clip] : first[clip] + counts[clip]
        ]
    moved = type(own.data.frames["acoustic"])(type(store)(gapped, {}), places, counts)
    data = type(own.data)(**{**vars_of(own), "frames": {**own.data.frames, "acoustic": moved}})
    other = ModelPlan(own.plan(0).config, data.view("fold0", *own.masks(0)))
    assert_equal(train_stack([other])[0], train_stack([own.plan(0)])[0], tolerance=0)


def vars_of(own: Clips) -> dict[str, object]:
    names = ("values", "present", "emotion", "valence", "weight", "classes")
    return {name: getattr(own.data, name) for name in names}


@pytest.mark.parametrize("size", [None, 3])
@pytest.mark.parametrize("model", ["early", "token_attention", "afg_guided"])
def test_a_model_that_is_not_finite_leaves_and_touches_no_other(model: str, size: int | None) -> None:
    own = clips("frames")
    same = {"model": model, **TASKS["uncertainty"]}
    sound = [own.plan(0, seed=1, **same), own.plan(0, seed=1, dropout=0.1, **same)]
    broken = own.plan(0, seed=1, learning_rate=1e30, averaging=0.0, gradient_clip=1e30, **same)
    plans = [sound[0], broken, sound[1]]
    outcomes = train_stack(plans, stack_size=size)
    assert outcomes[1].left.startswith("diverged")
    for outcome, plan in ((outcomes[0], sound[0]), (outcomes[2], sound[1])):
        assert_equal(outcome, train_stack([plan])[0])
        assert all(bool(torch.isfinite(value).all()) for value in outcome.tensors.values())


@pytest.mark.slow
def test_it_learns_from_frames() -> None:
    own = clips("frames")
    (outcome,) = train_stack([own.plan(0, epochs=60, learning_rate=1e-2, dropout=0.1)])
    assert outcome.best_score > 0.5 > 1 / CLASSES


def test_valence_is_left_out_where_the_plan_says_so() -> None:
    own = clips("frames").plan(0, **TASKS["uncertainty"])
    (told,) = train_stack([ModelPlan(own.config.model_copy(update={"valence_weight": 0.0}), own.view)])
    (silent,) = train_stack([ModelPlan(own.config, own.view, learns_valence=False)])
    assert_equal(told, silent, tolerance=0)
    start = build_stacked(FusionShape(WIDTHS, CLASSES), own.config).initial(
        torch.Generator().manual_seed(0),
        own.view.data.emotion[own.view.train].numpy(), own.view.data.valence[own.view.train].numpy(), own.config,
    )  # fmt: skip
    assert torch.equal(silent.tensors["task_balance"], start["task_balance"])
    assert math.isfinite(silent.best_score)


@pytest.mark.parametrize("tasks", TASKS)
def test_the_steps_of_an_accelerator_are_those_of_a_processor(
    monkeypatch: pytest.MonkeyPatch, tasks: str
) -> None:
    """The code that other devices run, run here: elementwise over the whole stack in place of the fused kernel a model."""
    plans = neighbours("frames", model="late", **TASKS[tasks])
    here = train_stack(plans, stack_size=6)
    monkeypatch.setattr(stack_epoch, "take_step", stack_step._step_elsewhere)
    for one, other in zip(train_stack(plans, stack_size=6), here, strict=True):
        assert_equal(one, other, tolerance=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("model", BUILT_IN_MODELS)
def test_on_an_accelerator_a_stack_gives_what_the_processor_gives(model: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no accelerator that torch can use")
    plans = neighbours("frames", model=model, **TASKS["uncertainty"])
    for one, other in zip(train_stack(plans, device="cuda"), train_stack(plans), strict=True):
        for name, value in one.tensors.items():
            torch.testing.assert_close(value.cpu(), other.tensors[name], atol=1e-3, rtol=0)


def test_options_that_shape_the_model_part_the_stacks() -> None:
    own = clips("frames")
    mixed = [own.plan(0, **tasks) for tasks in TASKS.values()]
    assert len({plan.shape for plan in mixed}) == len(TASKS)
    for outcome, plan in zip(train_stack(mixed, stack_size=4), mixed, strict=True):
        assert_equal(outcome, train_stack([plan])[0], tolerance=0)


def test_parts_switched_off_part_the_stacks() -> None:
    own = clips("frames")
    parts = [
        AudioGuidedConfig(),
        AudioGuidedConfig(residual=False),
        AudioGuidedConfig(guidance=False),
        AudioGuidedConfig(layers=2),
    ]
    plans = [
        own.plan(0, model="audio_guided", audio_guided=part, seed=seed) for part in parts for seed in (1, 2)
    ]
    assert len({plan.shape for plan in plans}) == len(parts)
    for outcome, plan in zip(train_stack(plans, stack_size=4), plans, strict=True):
        assert_equal(outcome, train_stack([plan])[0])
