"""Stacks against models trained alone, and against the training loop that a fusion is fitted with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mer.errors import ConfigError
from mer.examples import Examples
from mer.features.dataset import FeatureTable
from mer.fusion.config import FusionConfig
from mer.fusion.fit import fit_fusion
from mer.fusion.interface import FusionShape, build_fusion
from mer.stack.data import StackData
from mer.stack.models import build_stacked
from mer.stack.state import ModelPlan
from mer.stack.train import ModelOutcome, automatic_stack_size, train_stack
from mer.training.seeding import initialise

CLIPS, CLASSES = 90, 3
WIDTHS = {"acoustic": 12, "visual": 7}
BASE = FusionConfig(
    model="attention", hidden=8, batch_size=16, epochs=6, patience=0, dropout=0.3, modality_dropout=0.2,
    gradient_clip=1.0, averaging=0.9, label_smoothing=0.1, learning_rate=3e-3,
)  # fmt: skip


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(3)
    emotion = generator.integers(0, CLASSES, CLIPS)
    made = {
        name: (generator.normal(2, 3, (CLIPS, width)) + 2 * np.eye(CLASSES, width)[emotion]).astype(
            np.float32
        )
        for name, width in WIDTHS.items()
    }
    made["emotion"] = np.where(np.arange(CLIPS) % 11 == 0, -1, emotion)
    made["valence"] = np.where(np.arange(CLIPS) % 7 == 0, np.nan, emotion - 1.0).astype(np.float32)
    made["present"] = np.arange(CLIPS) % 9 != 0  # of the visual stream
    made["visual"][~made["present"]] = np.nan  # a missing row may hold anything
    made["fold"] = np.arange(CLIPS) % 5
    return made


@pytest.fixture(scope="module")
def data(arrays: dict[str, np.ndarray]) -> StackData:
    return StackData(
        values={name: torch.from_numpy(arrays[name]) for name in WIDTHS},
        present={
            "acoustic": torch.ones(CLIPS, dtype=torch.bool),
            "visual": torch.from_numpy(arrays["present"]),
        },
        emotion=torch.from_numpy(arrays["emotion"]),
        valence=torch.from_numpy(arrays["valence"]),
        weight=torch.ones(CLIPS),
        classes=CLASSES,
    )


def plan(data: StackData, fold: int = 0, **changes: object) -> ModelPlan:
    """A model of one fold; folds 3 and 4 have one clip less to learn from."""
    number = np.arange(CLIPS) % 5
    train = (number != fold) & ~((fold >= 3) & (np.arange(CLIPS) == 0))
    view = data.view(f"fold{fold}", train, number == fold)
    return ModelPlan(BASE.model_copy(update=changes), view)


def different_models(data: StackData) -> list[ModelPlan]:
    return [
        plan(data, 0, seed=1, learning_rate=1e-3),
        plan(data, 0, seed=1, learning_rate=1e-2, dropout=0.0, label_smoothing=0.0),
        plan(data, 1, seed=2, weight_decay=1e-2, averaging=0.0),
        plan(data, 3, seed=1, modality_dropout=0.0, gradient_clip=0.05),
        plan(data, 4, seed=5, epochs=3, valence_weight=0.0),
        plan(data, 2, seed=9, hidden=4),
        plan(data, 2, seed=9, model="concat"),
        plan(data, 1, seed=4, model="attention_softmax", patience=2),
    ]


def assert_equal(one: ModelOutcome, other: ModelOutcome) -> None:
    assert (one.left, one.epochs, one.best_epoch) == (other.left, other.epochs, other.best_epoch)
    assert one.tensors.keys() == other.tensors.keys()
    for name, value in one.tensors.items():
        assert value == pytest.approx(other.tensors[name], abs=1e-5), name


@pytest.mark.parametrize("size", [2, 3, 8, None])
def test_a_model_in_a_stack_equals_the_model_alone(data: StackData, size: int | None) -> None:
    plans = different_models(data)
    for stacked, own in zip(train_stack(plans, stack_size=size), plans, strict=True):
        (alone,) = train_stack([own])
        assert_equal(stacked, alone)


@pytest.mark.parametrize("model", ["attention", "attention_softmax", "attention_queries", "concat"])
def test_without_dropout_it_is_the_model_that_fit_fusion_trains(
    arrays: dict[str, np.ndarray], data: StackData, model: str
) -> None:
    own = plan(data, 1, model=model, dropout=0.0, modality_dropout=0.25, seed=3, class_weighting="balanced")
    names = tuple(f"c{i}" for i in range(CLIPS))
    tables = {name: FeatureTable(names, arrays[name], data.present[name].numpy()) for name in WIDTHS}
    examples = Examples(
        names,
        arrays["emotion"],
        arrays["valence"],
        (None,) * CLIPS,
        arrays["fold"],
        np.ones(CLIPS, np.float32),
    )
    masks = (arrays["fold"] != 1, arrays["fold"] == 1)
    fitted = fit_fusion(tables, examples, *masks, [str(c) for c in range(CLASSES)], own.config)
    (stacked,) = train_stack([own])
    assert stacked.best_epoch == fitted.best_epoch
    assert list(stacked.scores) == pytest.approx([entry["validation_waf"] for entry in fitted.history])
    for name, value in fitted.tensors.items():
        assert value == pytest.approx(stacked.tensors[name], abs=1e-4), name


@pytest.mark.parametrize("model", ["attention", "attention_softmax", "attention_queries", "concat"])
def test_a_stacked_forward_is_its_twins(data: StackData, model: str) -> None:
    config = BASE.model_copy(update={"model": model})
    shape = FusionShape(WIDTHS, CLASSES)
    stacked = build_stacked(shape, config)
    labels = (np.zeros(1, np.int64), np.zeros(1))
    own = [stacked.initial(torch.Generator().manual_seed(seed), *labels, config) for seed in (1, 2)]
    view = plan(data).view
    batch = view.batch(torch.arange(20))
    logits, valence = stacked.forward({n: torch.stack([p[n] for p in own]) for n in own[0]}, batch, None)
    for k, seed in enumerate((1, 2)):
        twin = build_fusion(shape, config).eval()
        initialise(twin, torch.Generator().manual_seed(seed))
        expected = twin(
            {n: v[0] for n, v in batch.values.items()}, {n: v[0, :, 0] > 0 for n, v in batch.present.items()}
        )
        assert logits[k].detach() == pytest.approx(expected.emotion_logits.detach(), abs=1e-6)
        assert valence[k].detach() == pytest.approx(expected.valence.detach(), abs=1e-6)


def test_a_model_that_is_not_finite_leaves_and_touches_no_other(data: StackData) -> None:
    sound = [plan(data, 0, seed=1), plan(data, 1, seed=2)]
    broken = plan(data, 0, seed=1, learning_rate=1e30, averaging=0.0, gradient_clip=1e30)
    outcomes = train_stack([sound[0], broken, sound[1]], stack_size=3)
    assert outcomes[1].left.startswith("diverged") and outcomes[1].epochs < BASE.epochs
    for outcome, own in zip((outcomes[0], outcomes[2]), sound, strict=True):
        assert_equal(outcome, train_stack([own])[0])


def test_a_pruned_model_leaves_and_the_others_go_on_as_if_it_had_never_been(data: StackData) -> None:
    plans = [plan(data, fold, seed=fold) for fold in range(4)]
    seen: list[tuple[int, list[int]]] = []

    def prune(epoch: int, best: object) -> list[int]:
        assert isinstance(best, dict)
        seen.append((epoch, sorted(best)))
        return [1, 2] if epoch == 2 else []

    outcomes = train_stack(plans, stack_size=4, after_epoch=prune)
    assert [(o.left, o.epochs) for o in outcomes] == [
        ("epochs", 6),
        ("pruned", 2),
        ("pruned", 2),
        ("epochs", 6),
    ]
    assert seen[1] == (2, [0, 1, 2, 3]) and seen[2] == (3, [0, 3])
    for index in (0, 3):
        assert_equal(outcomes[index], train_stack([plans[index]])[0])


def test_patience_ends_each_model_on_its_own(data: StackData) -> None:
    plans = [
        plan(data, 0, seed=s, patience=2, epochs=40, learning_rate=rate) for s, rate in ((1, 1e-2), (2, 1e-6))
    ]
    for outcome in train_stack(plans):
        assert outcome.left == "patience" and outcome.epochs == outcome.best_epoch + 2


def test_labels_and_features_outside_the_view_change_nothing(data: StackData) -> None:
    own = plan(data, 0)
    known = np.arange(CLIPS) % 5
    view = data.view("inner", known >= 2, known == 1)  # fold 0 is the test fold
    other = StackData(
        {
            name: torch.where(torch.from_numpy(known == 0)[:, None], -values, values)
            for name, values in data.values.items()
        },
        data.present,
        torch.where(torch.from_numpy(known == 0), 2 - data.emotion.clamp_min(0), data.emotion),
        torch.where(torch.from_numpy(known == 0), 5.0, data.valence),
        data.weight,
        CLASSES,
    )
    (one,) = train_stack([ModelPlan(own.config, view)])
    (two,) = train_stack([ModelPlan(own.config, other.view("inner", known >= 2, known == 1))])
    assert one.scores == two.scores
    for name, value in one.tensors.items():
        assert torch.equal(value, two.tensors[name])


def test_the_automatic_size_keeps_weights_gradients_and_moments_in_cache() -> None:
    cpu = torch.device("cpu")
    sizes = [automatic_stack_size(parameters, cpu) for parameters in (10_000, 100_000, 1_000_000, 50_000_000)]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] == 1 and sizes[0] > 1


def test_a_stack_of_no_models_is_refused(data: StackData) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        train_stack([plan(data)], stack_size=0)


def test_a_clip_cannot_train_and_validate(data: StackData) -> None:
    everything = np.ones(CLIPS, dtype=bool)
    with pytest.raises(ConfigError, match=f"{CLIPS} in both"):
        data.view("wrong", everything, everything)


@pytest.mark.gpu
def test_on_an_accelerator_a_stack_gives_what_the_processor_gives(data: StackData) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no accelerator that torch can use")
    plans = [plan(data, fold, seed=fold, epochs=2) for fold in range(5)]
    there, here = train_stack(plans, device="cuda"), train_stack(plans)
    for one, other in zip(there, here, strict=True):
        for name, value in one.tensors.items():
            assert value.cpu() == pytest.approx(other.tensors[name], abs=1e-3), name
