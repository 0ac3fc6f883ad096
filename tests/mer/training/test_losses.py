from __future__ import annotations

import numpy as np
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from mer.training.losses import class_weights, emotion_loss, valence_loss


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
        torch.testing.assert_close(emotion_loss(logits, labels, ones, torch.ones(4), smoothing), expected)
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
