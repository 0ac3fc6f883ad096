"""The emotion losses against their formulas, written out clip by clip."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from mer.errors import ConfigError
from mer.fusion.config import FusionConfig
from mer.fusion.loss_form import loss_form_of
from mer.training.loss_forms import LossForm, clip_losses, untrained_loss
from mer.training.losses import class_weights, emotion_loss

FORMS = {
    "cross_entropy": LossForm(),
    "smoothed": LossForm(smoothing=0.2),
    "focal": LossForm(focal=1.5, smoothing=0.1),
    "generalised": LossForm("generalised", power=0.7),
    "generalised_smoothed": LossForm("generalised", smoothing=0.2, power=0.3),
    "absolute": LossForm("generalised", power=1.0),
    "symmetric": LossForm("symmetric", forward=0.4, reverse=1.3, log_zero=-4.0),
    "symmetric_smoothed": LossForm("symmetric", smoothing=0.1, forward=1.0, reverse=0.5, log_zero=-2.0),
}
CLASSES = 4


def naive(logits: list[float], target: list[float], form: LossForm) -> float:
    """One clip, class by class, as the module's docstring has it."""
    total = sum(math.exp(u) for u in logits)
    p = [math.exp(u) / total for u in logits]
    e = float(form.smoothing)
    smoothed = [(1 - e) * t + e / len(p) for t in target]
    cross = -sum(s * math.log(own) for s, own in zip(smoothed, p, strict=True))
    if form.kind == "generalised":
        q = float(form.power)
        return sum(s * (1 - own**q) / q for s, own in zip(smoothed, p, strict=True))
    if form.kind == "symmetric":
        floor = float(form.log_zero)
        logs = [max(math.log(t), floor) if t > 0 else floor for t in target]
        reverse = -sum(own * log for own, log in zip(p, logs, strict=True))
        return float(form.forward) * cross + float(form.reverse) * reverse
    right = sum(t * own for t, own in zip(target, p, strict=True))
    return float(cross * (1 - right) ** float(form.focal))


def drawn(seed: int, clips: int = 6) -> tuple[Tensor, Tensor]:
    """Logits and soft targets, some entries of which are exactly 0."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(clips, CLASSES, generator=generator, dtype=torch.float64)
    target = torch.rand(clips, CLASSES, generator=generator, dtype=torch.float64)
    target = torch.where(target < 0.3, 0.0, target) + torch.eye(CLASSES, dtype=torch.float64)[0] * 0.1
    return logits, target / target.sum(dim=1, keepdim=True)


@pytest.mark.parametrize("name", FORMS)
def test_values_and_gradients_are_those_of_the_formula(name: str) -> None:
    form = FORMS[name]
    logits, target = drawn(1)
    hard = functional.one_hot(torch.tensor([0, 3, 1, 1, 2, 0]), CLASSES).double()
    for own in (target, hard):
        expected = torch.tensor(
            [naive(row.tolist(), t.tolist(), form) for row, t in zip(logits, own, strict=True)],
            dtype=torch.float64,
        )
        found = clip_losses(torch.log_softmax(logits, dim=1), own, form)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
        leaf = logits.clone().requires_grad_()
        clip_losses(torch.log_softmax(leaf, dim=1), own, form).sum().backward()  # type: ignore[no-untyped-call]
        step = 1e-6
        for clip in range(len(logits)):
            for kind in range(CLASSES):
                moved = [logits[clip].tolist(), logits[clip].tolist()]
                moved[0][kind] += step
                moved[1][kind] -= step
                up, down = (naive(one, own[clip].tolist(), form) for one in moved)
                assert leaf.grad is not None
                assert float(leaf.grad[clip, kind]) == pytest.approx((up - down) / (2 * step), abs=1e-8)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_generalised_loss_goes_to_cross_entropy_as_its_power_goes_to_0(smoothing: float) -> None:
    """In single precision, where 1 - p^q would be rounding only."""
    logits, target = (values.float() for values in drawn(2))
    log_p = torch.log_softmax(logits, dim=1)
    expected = clip_losses(log_p, target, LossForm(smoothing=smoothing))
    before = torch.full_like(expected, torch.inf)
    for power in (1e-1, 1e-2, 1e-3):
        off = (
            clip_losses(log_p, target, LossForm("generalised", smoothing=smoothing, power=power)) - expected
        ).abs()
        assert bool((off < before).all())
        before = off
    nearly = LossForm("generalised", smoothing=smoothing, power=1e-6)
    leaves = [log_p.clone().requires_grad_() for _ in range(2)]
    for leaf, form in zip(leaves, (nearly, LossForm(smoothing=smoothing)), strict=True):
        loss = clip_losses(leaf, target, form)
        torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
        loss.sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(leaves[0].grad, leaves[1].grad, atol=1e-5, rtol=1e-5)


def test_a_wrong_label_pulls_less_than_under_cross_entropy() -> None:
    """A sure answer against its label: the slope of the generalised loss is that of cross-entropy times p^q."""
    sure = torch.tensor([[6.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    wrong = torch.tensor([[0.0, 1.0, 0.0, 0.0]], dtype=torch.float64)
    slopes = {}
    for name in ("cross_entropy", "generalised"):
        leaf = sure.clone().requires_grad_()
        clip_losses(torch.log_softmax(leaf, dim=1), wrong, FORMS[name]).sum().backward()  # type: ignore[no-untyped-call]
        assert leaf.grad is not None
        slopes[name] = leaf.grad
    right = torch.softmax(sure, dim=1)[0, 1]
    torch.testing.assert_close(slopes["generalised"], slopes["cross_entropy"] * right**0.7)
    assert float(slopes["generalised"].abs().max()) < 0.05 < float(slopes["cross_entropy"].abs().max())


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("extreme", [80.0, 3e4])
def test_sure_answers_have_finite_losses_and_slopes(name: str, extreme: float) -> None:
    logits = torch.tensor([[extreme, 0.0, 0.0, -extreme]], requires_grad=True)
    for label in range(CLASSES):
        loss = emotion_loss(logits, torch.tensor([label]), torch.ones(1), torch.ones(CLASSES), FORMS[name])
        (slope,) = torch.autograd.grad(loss, logits)
        assert torch.isfinite(loss) and torch.isfinite(slope).all()


@pytest.mark.parametrize("name", FORMS)
def test_a_one_hot_target_is_its_label(name: str) -> None:
    logits = drawn(3)[0].float()
    labels = torch.tensor([0, 3, -1, 2, 2, -1])
    weights, per_class = torch.tensor([1.0, 0.5, 9.0, 1.0, 0.0, 9.0]), torch.tensor([0.5, 1.0, 2.0, 1.5])
    target = functional.one_hot(labels.clamp_min(0), CLASSES).float()
    hard, soft = (
        emotion_loss(logits, labels, weights, per_class, FORMS[name], own) for own in (None, target)
    )
    torch.testing.assert_close(hard, soft, atol=1e-6, rtol=1e-6)
    nobody = emotion_loss(logits, torch.full((6,), -1), weights, per_class, FORMS[name], target)
    assert float(nobody) == 0.0


@settings(max_examples=30, deadline=None)
@given(
    labels=st.lists(st.integers(-1, CLASSES - 1), min_size=4, max_size=8).filter(lambda x: max(x) >= 0),
    name=st.sampled_from(sorted(FORMS)),
    seed=st.integers(0, 1000),
)
def test_weights_of_clips_and_classes_multiply_a_clips_whole_loss(
    labels: list[int], name: str, seed: int
) -> None:
    logits, target = drawn(seed, len(labels))
    generator = np.random.default_rng(seed)
    weights, per_class = generator.uniform(0.1, 2, len(labels)), generator.uniform(0.1, 2, CLASSES)
    losses = [naive(row.tolist(), t.tolist(), FORMS[name]) for row, t in zip(logits, target, strict=True)]
    known = np.array(labels) >= 0
    factors = weights * (target.numpy() @ per_class) * known
    expected = (np.array(losses) * factors).sum() / (weights * known).sum()
    found = emotion_loss(
        logits, torch.tensor(labels), torch.from_numpy(weights), torch.from_numpy(per_class), FORMS[name], target
    )  # fmt: skip
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_class_weights_count_soft_targets_as_their_shares() -> None:
    labels = np.array([0, 0, 1, 2, -1])
    hard = np.eye(3)[np.maximum(labels, 0)]
    for weighting in ("none", "balanced", "square_root", "effective_number"):
        assert torch.equal(
            class_weights(labels, 3, weighting, 0.9, hard), class_weights(labels, 3, weighting, 0.9)
        )
    soft = hard.copy()
    soft[0] = [0.25, 0.75, 0.0]
    counts = np.array([1.25, 1.75, 1.0])
    expected = (1 / counts) / ((1 / counts) * counts).sum() * counts.sum()
    np.testing.assert_allclose(class_weights(labels, 3, "balanced", target=soft).numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in FORMS if name != "focal"])
def test_an_untrained_model_has_the_loss_of_equal_probabilities(name: str) -> None:
    form = FORMS[name]._replace(smoothing=0.0)
    even = torch.full((1, CLASSES), 1 / CLASSES, dtype=torch.float64).log()
    hard = torch.eye(CLASSES, dtype=torch.float64)[:1]
    assert untrained_loss(form, CLASSES) == pytest.approx(float(clip_losses(even, hard, form)))


def test_options_that_contradict_each_other_are_refused() -> None:
    for kind in ("generalised", "symmetric"):
        with pytest.raises(ValidationError, match=rf"emotion_loss '{kind}' with focal_gamma 2"):
            FusionConfig(emotion_loss=kind, focal_gamma=2.0)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="found both 0"):
        FusionConfig(emotion_loss="symmetric", loss_forward=0.0, loss_reverse=0.0)
    for power in (0.0, 1.1):
        with pytest.raises(ValidationError, match="loss_power"):
            FusionConfig(emotion_loss="generalised", loss_power=power)
    with pytest.raises(ValidationError, match="loss_log_zero"):
        FusionConfig(loss_log_zero=0.0)
    copied = FusionConfig(focal_gamma=2.0).model_copy(update={"emotion_loss": "symmetric"})
    with pytest.raises(ConfigError, match="set focal_gamma to 0"):
        loss_form_of(copied)
    own = FusionConfig(emotion_loss="symmetric", label_smoothing=0.0, loss_forward=2.0, loss_log_zero=-6.0)
    assert loss_form_of(own) == LossForm("symmetric", 0.0, 0.0, 0.7, 2.0, 1.0, -6.0)
