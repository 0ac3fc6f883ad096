from __future__ import annotations

import numpy as np
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from mer.training.loss_forms import LossForm
from mer.training.losses import (
    class_weights,
    emotion_loss,
    settled_log_variance,
    uncertainty_weighted,
    valence_loss,
)


def test_balanced_weights_are_scikit_learns() -> None:
    labels = np.repeat([0, 1, 2, -1], [50, 30, 5, 9])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels[labels >= 0])
    found = class_weights(labels, 4, "balanced").numpy()
    np.testing.assert_allclose(found[:3], expected, rtol=1e-6)
    assert found[3] == 1  # a class that does not occur
    rooted = class_weights(labels, 4, "square_root").numpy()
    np.testing.assert_allclose(rooted[0] / rooted[2], np.sqrt(5 / 50), rtol=1e-6)
    assert class_weights(labels, 4, "none").tolist() == [1, 1, 1, 1]


def test_the_emotion_loss_is_cross_entropy_over_the_labelled_clips() -> None:
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 3, -1, 2, 2, -1])
    known = labels >= 0
    ones = torch.ones(6)
    for smoothing in (0.0, 0.2):
        expected = functional.cross_entropy(logits[known], labels[known], label_smoothing=smoothing)
        torch.testing.assert_close(
            emotion_loss(logits, labels, ones, torch.ones(4), LossForm(smoothing=smoothing)), expected
        )
    weights = torch.tensor([1.0, 0.5, 9.0, 1.0, 0.0, 9.0])
    single = functional.cross_entropy(logits[known], labels[known], reduction="none")
    expected = (single * weights[known]).sum() / weights[known].sum()
    torch.testing.assert_close(emotion_loss(logits, labels, weights, torch.ones(4)), expected)
    assert float(emotion_loss(logits, torch.full((6,), -1), ones, torch.ones(4))) == 0.0


def test_the_valence_loss_is_the_squared_error_where_it_is_known() -> None:
    predicted = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    valence = torch.tensor([0.0, float("nan"), 5.0])
    loss = valence_loss(predicted, valence, torch.ones(3))
    torch.testing.assert_close(loss, torch.tensor((1.0 + 4.0) / 2))
    loss.backward()  # type: ignore[no-untyped-call]
    assert predicted.grad is not None and predicted.grad.tolist() == [1.0, 0.0, -2.0]
    nothing = valence_loss(predicted, torch.full((3,), float("nan")), torch.ones(3))
    assert nothing.item() == 0.0


def test_the_effective_number_lies_between_no_weights_and_balanced_ones() -> None:
    """Cui et al. 2019, equation 2: 1 / E_n with E_n = (1 - beta^n) / (1 - beta), here scaled to 1 on average."""
    labels = np.repeat([0, 1, 2], [500, 30, 5])
    counts = np.array([500, 30, 5])
    raw = (1 - 0.99) / (1 - 0.99**counts)
    expected = raw * counts.sum() / (raw * counts).sum()
    found = class_weights(labels, 4, "effective_number", 0.99).numpy()
    np.testing.assert_allclose(found[:3], expected, rtol=1e-6)
    assert found[3] == 1
    np.testing.assert_allclose(class_weights(labels, 3, "effective_number", 0.0).numpy(), 1, rtol=1e-6)
    nearly = class_weights(labels, 3, "effective_number", 1 - 1e-9).numpy()
    np.testing.assert_allclose(nearly, class_weights(labels, 3, "balanced").numpy(), rtol=1e-3)


def test_the_focal_loss_is_lins_formula() -> None:
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    labels = torch.tensor([0, 3, -1, 2, 2, -1])
    known = labels >= 0
    right = torch.softmax(logits, dim=1)[known, labels[known]]
    for gamma in (0.5, 2.0):
        expected = (-((1 - right) ** gamma) * right.log()).mean()
        found = emotion_loss(logits, labels, torch.ones(6), torch.ones(4), LossForm(focal=gamma))
        torch.testing.assert_close(found, expected)
    sure = torch.tensor([[80.0, 0.0, 0.0, 0.0]], requires_grad=True)
    emotion_loss(sure, torch.tensor([0]), torch.ones(1), torch.ones(4), LossForm(focal=0.5)).backward()  # type: ignore[no-untyped-call]
    assert sure.grad is not None and torch.isfinite(sure.grad).all()


def test_the_uncertainty_loss_is_its_formula_and_its_optimum_is_known() -> None:
    s, known = torch.tensor([0.3, -0.7]).double(), torch.ones(2).double()
    ce, mse = torch.tensor(1.3).double(), torch.tensor(0.4).double()
    expected = torch.exp(-s[0]) * ce + 0.5 * torch.exp(-s[1]) * mse + 0.5 * (s[0] + s[1])
    torch.testing.assert_close(uncertainty_weighted(ce, mse, s, known), expected, rtol=1e-5, atol=0)
    best = torch.tensor(settled_log_variance(1.3, 0.4)).double().requires_grad_()
    torch.testing.assert_close(best.detach().exp(), torch.tensor([2.6, 0.4]).double(), rtol=1e-5, atol=0)
    uncertainty_weighted(ce, mse, best, known).backward()  # type: ignore[no-untyped-call]
    assert best.grad is not None and best.grad.abs().max() < 1e-6


def test_the_uncertainty_loss_stays_finite_as_the_error_goes_to_zero() -> None:
    """Gradient steps on an error of exactly 0: s settles at a floor, where the weight is a million."""
    s = torch.zeros(2, requires_grad=True)
    optimiser = torch.optim.Adam([s], lr=0.5)
    for _ in range(400):
        optimiser.zero_grad()
        loss = uncertainty_weighted(torch.tensor(0.5), torch.tensor(0.0), s, torch.ones(2))
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        assert torch.isfinite(loss) and torch.isfinite(s).all()
    assert -15 < float(s[1].detach()) < -12
