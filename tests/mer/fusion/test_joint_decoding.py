"""Joint decoding of emotion and valence, and the learned balance of their losses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from stream_batches import CLASSES, built, framewise, utterances
from torch.nn import functional

from mer.fusion.config import BUILT_IN_MODELS, FusionConfig
from mer.fusion.fitted import FittedFusion, load_fusion, save_fusion
from mer.fusion.interface import FusionOutput, FusionShape, build_fusion
from mer.fusion.streams import Standardisation
from mer.fusion.task_balance import (
    TaskLosses,
    after_step,
    balanced_loss,
    class_means,
    model_parameters,
    parameter_groups,
    start_model,
    task_losses,
)
from mer.training.seeding import initialise

ALL_KNOWN = torch.ones(2, dtype=torch.float64)


@pytest.mark.parametrize("name", BUILT_IN_MODELS)
def test_with_the_z_path_zeroed_valence_is_the_class_means_under_the_posterior(name: str) -> None:
    model = built(name, valence_decoding="joint")
    with torch.no_grad():
        for parameter in model.valence.parameters():
            parameter.zero_()
    inputs, present = framewise()
    output = model(inputs, present)
    expected = (torch.softmax(output.emotion_logits, dim=1) * model.class_valence).sum(dim=1)
    torch.testing.assert_close(output.valence, expected, atol=1e-12, rtol=0)


def test_it_starts_as_class_mean_decoding() -> None:
    model = built("afg_hierarchical", valence_decoding="joint").float()
    emotion = np.array([0, 0, 1, 2, -1, 2])
    valence = np.array([1.0, 3.0, -2.0, np.nan, 4.0, np.nan], np.float32)
    start_model(model, emotion, valence, FusionConfig(valence_decoding="joint"))
    means = torch.tensor([2.0, -2.0, 1.5, 1.5])  # classes 2 and 3 have no valence: the mean of all clips
    torch.testing.assert_close(class_means(emotion, valence, CLASSES), means)
    torch.testing.assert_close(model.class_valence.detach(), means)
    inputs, present = utterances()
    output = model({name: values.float() for name, values in inputs.items()}, present)
    torch.testing.assert_close(output.valence, torch.softmax(output.emotion_logits, dim=1) @ means)


def test_the_class_valences_are_trained_with_the_rest() -> None:
    model = built("concat", valence_decoding="joint")
    model(*utterances()).valence.sum().backward()
    assert isinstance(model.class_valence, torch.nn.Parameter) and model.class_valence.grad is not None


@pytest.mark.parametrize("name", BUILT_IN_MODELS)
def test_class_valences_can_be_read_off_a_model(name: str) -> None:
    """Identifiable: nothing else of the heads can do what a change of them does (with weights of the posteriors it could)."""
    model = built(name, valence_decoding="joint")
    inputs, present = utterances(clips=200)
    heads = [value for key, value in model.named_parameters() if "valence" in key.partition(".")[0]]
    answers = model(inputs, present).valence
    gradients = [torch.autograd.grad(answer, heads, retain_graph=True) for answer in answers]
    fused = torch.stack(
        [torch.cat([part.flatten() for part in parts if part.shape != (CLASSES,)]) for parts in gradients]
    )
    classes = torch.stack([next(part for part in parts if part.shape == (CLASSES,)) for parts in gradients])
    rank = torch.linalg.matrix_rank(
        fused, rtol=1e-10
    )  # normalised features sum to 0, so it is not always their number
    assert torch.linalg.matrix_rank(torch.cat([fused, classes], dim=1), rtol=1e-10) == rank + CLASSES


def test_a_file_of_0_5_with_weights_of_the_posteriors_beside_the_class_valences_is_read(
    tmp_path: Path,
) -> None:
    config = FusionConfig(model="concat", hidden=8, valence_decoding="joint")
    widths = {"acoustic": 3}
    model = build_fusion(FusionShape(widths, CLASSES), config)
    initialise(model, torch.Generator().manual_seed(1))
    weights = torch.tensor([[0.5, -1.0, 2.0, 0.25]])
    older = {name: value.clone() for name, value in model.state_dict().items()}
    fitted = FittedFusion(
        config, ("a", "b", "c", "d"), widths, older | {"posterior_valence.weight": weights},
        {"acoustic": Standardisation(torch.zeros(3), torch.ones(3))}, True, [], 1, 0.5,
    )  # fmt: skip
    save_fusion(tmp_path, fitted)
    inputs, present = {"acoustic": torch.randn(5, 3)}, {"acoustic": torch.ones(5, dtype=torch.bool)}
    model.eval()
    before = model(inputs, present)
    expected = before.valence + torch.softmax(before.emotion_logits, dim=1) @ weights[0]
    torch.testing.assert_close(load_fusion(tmp_path).model()(inputs, present).valence, expected)


def test_separate_heads_have_no_parameters_of_joint_decoding() -> None:
    names = {name for name, _ in built("concat").named_parameters()}
    assert not any("valence" in name and name not in ("valence.weight", "valence.bias") for name in names)


def test_the_learned_log_variances_settle_where_the_formula_says() -> None:
    """exp(s_v) = MSE and exp(s_e) = 2 CE, found by the optimiser and step size that training uses."""
    model = built("concat", task_balance="uncertainty")
    config = FusionConfig(task_balance="uncertainty")
    losses = TaskLosses(torch.tensor(0.83).double(), torch.tensor(1.7).double(), ALL_KNOWN)
    optimiser = torch.optim.Adam(parameter_groups(model, config))
    for _ in range(800):
        optimiser.zero_grad()
        balanced_loss(model, losses, config).backward()
        optimiser.step()
    settled = model.task_balance.detach().exp()
    torch.testing.assert_close(settled, torch.tensor([2 * 0.83, 1.7]).double(), rtol=1e-4, atol=0)


def test_an_untrained_model_starts_at_its_own_optimum() -> None:
    model = built("concat", task_balance="uncertainty").float()
    valence = np.array([-2.0, 2.0, np.nan], np.float32)
    start_model(model, np.array([0, 1, 2]), valence, FusionConfig(task_balance="uncertainty"))
    expected = torch.tensor([2 * np.log(CLASSES), 4.0]).float()
    torch.testing.assert_close(model.task_balance.detach().exp(), expected)


def test_so_it_starts_at_the_optimum_of_another_loss() -> None:
    config = FusionConfig(task_balance="uncertainty", emotion_loss="generalised", loss_power=1.0)
    model = built("concat", task_balance="uncertainty").float()
    start_model(model, np.array([0, 1, 2]), np.array([-2.0, 2.0, np.nan], np.float32), config)
    expected = torch.tensor([2 * (1 - 1 / CLASSES), 4.0])
    torch.testing.assert_close(model.task_balance.detach().exp(), expected)


def batch(valence: torch.Tensor, emotion: torch.Tensor) -> tuple[FusionOutput, tuple[torch.Tensor, ...]]:
    generator = torch.Generator().manual_seed(0)
    output = FusionOutput(
        torch.randn(3, CLASSES, generator=generator), torch.randn(3, generator=generator), torch.ones(3, 1)
    )
    return output, (emotion, valence, torch.ones(3), torch.ones(CLASSES))


def test_a_task_without_labels_in_a_batch_does_not_move_its_weight() -> None:
    config = FusionConfig(task_balance="uncertainty", label_smoothing=0.0)
    model = built("concat", task_balance="uncertainty").float()
    labels, nothing = torch.tensor([0, 2, 1]), torch.full((3,), -1)
    for emotion, valence, moved in (
        (labels, torch.full((3,), float("nan")), [True, False]),
        (nothing, torch.tensor([1.0, float("nan"), 2.0]), [False, True]),
        (labels, torch.tensor([1.0, float("nan"), 2.0]), [True, True]),
    ):
        model.zero_grad(set_to_none=True)
        output, arguments = batch(valence, emotion)
        balanced_loss(model, task_losses(output, *arguments, config), config).backward()
        assert model.task_balance.grad is not None
        assert (model.task_balance.grad != 0).tolist() == moved


def test_fixed_weights_are_one_to_one() -> None:
    config = FusionConfig(label_smoothing=0.0)
    labels, valence = torch.tensor([0, 2, 1]), torch.tensor([1.0, float("nan"), 2.0])
    output, arguments = batch(valence, labels)
    loss = balanced_loss(built("concat"), task_losses(output, *arguments, config), config)
    expected = functional.cross_entropy(output.emotion_logits, labels)
    expected = expected + ((output.valence - valence)[[0, 2]] ** 2).mean()
    torch.testing.assert_close(loss, expected)


def test_without_valence_every_balance_is_the_cross_entropy() -> None:
    for balance in ("fixed", "uncertainty", "gradnorm"):
        config = FusionConfig(task_balance=balance, valence_weight=0.0, label_smoothing=0.0)
        labels = torch.tensor([0, 2, 1])
        output, arguments = batch(torch.ones(3), labels)
        loss = balanced_loss(
            built("concat", task_balance=balance), task_losses(output, *arguments, config), config
        )
        torch.testing.assert_close(loss, functional.cross_entropy(output.emotion_logits, labels))


def test_gradnorm_brings_the_tasks_gradients_together() -> None:
    """A valence on a large scale has far larger gradients; its weight falls until both are alike."""
    config = FusionConfig(task_balance="gradnorm", gradnorm_alpha=0.0, balance_rate=0.04)
    model = built("concat", task_balance="gradnorm").float()
    inputs, present = utterances()
    single = {name: values.float() for name, values in inputs.items()}
    arguments = (
        torch.tensor([0, 1, 2, 3, 0]),
        5 * torch.linspace(-1, 1, 5),
        torch.ones(5),
        torch.ones(CLASSES),
    )
    optimiser = torch.optim.Adam(parameter_groups(model, config), lr=0.0)
    for _ in range(250):
        optimiser.zero_grad()
        losses = task_losses(model(single, present), *arguments, config)
        balanced_loss(model, losses, config).backward()
        optimiser.step()
        after_step(model, config)
    weights = model.task_balance.detach().exp()
    torch.testing.assert_close(weights.sum(), torch.tensor(2.0))
    norms = []
    for which in (0, 1):
        loss = task_losses(model(single, present), *arguments, config)[which]
        assert isinstance(loss, torch.Tensor)
        shared = [value for name, value in model.named_parameters() if name.startswith("body")]
        found = torch.autograd.grad(loss, shared)
        norms.append(weights[which] * torch.cat([part.flatten() for part in found]).norm())
    assert 0.8 < float(norms[0] / norms[1]) < 1.25, norms


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"emotion_loss": "generalised", "loss_power": 1.0},
        {"emotion_loss": "symmetric", "loss_forward": 1.0},
    ],
)
def test_gradnorm_measures_the_pace_of_emotion_from_its_own_loss_of_equal_probabilities(
    changes: dict[str, object],
) -> None:
    """Emotion is where it started, valence at three quarters; the weighted gradients are equal: only the pace decides."""
    config = FusionConfig(task_balance="gradnorm", gradnorm_alpha=5.0, label_smoothing=0.0, **changes)  # type: ignore[arg-type]
    model = built("concat", task_balance="gradnorm").float()
    inputs, present = utterances()
    output = model({name: values.float() for name, values in inputs.items()}, present)
    labels, valence = torch.tensor([0, 1, 2, 3, 0]), torch.linspace(-1, 1, 5)
    losses = task_losses(output, labels, valence, torch.ones(5), torch.ones(CLASSES), config)
    assert losses.valence is not None
    shared = [value for name, value in model.named_parameters() if name.startswith("body")]
    norms = [
        torch.cat([part.flatten() for part in torch.autograd.grad(loss, shared, retain_graph=True)]).norm()
        for loss in losses[:2]
    ]
    with torch.no_grad():
        model.task_balance.copy_(-torch.stack(norms).log())
    for share, slopes in ((0.75, [-1, 1]), (1.25, [1, -1])):
        model.valence_spread = float(losses.valence.detach()) / share
        balanced_loss(model, losses, config)
        assert model.task_balance.grad is not None
        assert model.task_balance.grad.sign().tolist() == slopes


def test_learned_weights_of_the_losses_are_no_parameters_of_the_model() -> None:
    model = built("concat", task_balance="uncertainty")
    assert all(value is not model.task_balance for value in model_parameters(model))
    model(*utterances()).valence.sum().backward()
    assert model.task_balance.grad is None


@pytest.mark.parametrize("name", ["afg_hierarchical", "late"])
def test_without_posterior_gradient_valence_does_not_train_the_emotion_head(name: str) -> None:
    for gradient in (True, False):
        model = built(name, valence_decoding="joint", posterior_gradient=gradient)
        output = model(*framewise())
        output.valence.square().sum().backward()
        of_emotion = [value.grad for key, value in model.named_parameters() if key.startswith("emotion.")]
        assert any(part is not None and bool(part.any()) for part in of_emotion) == gradient
        assert model.class_valence.grad is not None and model.class_valence.grad.all()
        with_it = built(name, valence_decoding="joint")(*framewise())
        torch.testing.assert_close(output.valence, with_it.valence)  # the answers are the same
