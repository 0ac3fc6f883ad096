from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from mer.errors import ConfigError
from mer.layer_study.probes import ProbeTraining, StackedProbes, train_stacked_probes

LAYERS, CLIPS, WIDTH, CLASSES, RUNS = 3, 90, 12, 4, 4
L2 = 0.05


def problem(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Correlated features of odd scales; later layers tell less; one feature is constant."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, size=CLIPS)
    centres = rng.normal(size=(CLASSES, WIDTH))
    mix = rng.normal(size=(WIDTH, WIDTH))
    layers = [
        (centres[labels] / (layer + 1) + rng.normal(size=(CLIPS, WIDTH)))
        @ mix
        * 10.0 ** rng.uniform(-2, 2, WIDTH)
        + 5
        for layer in range(LAYERS)
    ]
    features = torch.tensor(np.stack(layers), dtype=dtype)
    features[:, :, 3] = 7.0
    train = torch.tensor(rng.random((RUNS, CLIPS)) < 0.7)
    return features, torch.tensor(labels), train


def solve(
    features: torch.Tensor, labels: torch.Tensor, train: torch.Tensor, tolerance: float = 3e-6
) -> StackedProbes:
    return train_stacked_probes(features, labels, train, CLASSES, ProbeTraining(L2, 1000, tolerance))


def test_all_at_once_equals_one_by_one() -> None:
    features, labels, train = problem()
    together = solve(features, labels, train).logits
    for layer in range(LAYERS):
        for run in range(RUNS):
            alone = solve(features[layer : layer + 1], labels, train[run : run + 1]).logits[0, 0]
            torch.testing.assert_close(
                together[layer, run].softmax(-1), alone.softmax(-1), atol=1e-5, rtol=0, msg=f"{layer} {run}"
            )


def test_every_head_is_scikit_learns_on_features_standardised_by_its_own_fold() -> None:
    features, labels, train = problem(torch.float64)
    logits = solve(features, labels, train, tolerance=1e-8).logits
    for layer in range(LAYERS):
        for run in range(RUNS):
            own = train[run].numpy()
            scaler = StandardScaler().fit(features[layer].numpy()[own])
            head = LogisticRegression(C=1 / (L2 * own.sum()), tol=1e-10, max_iter=5000)
            head.fit(scaler.transform(features[layer].numpy()[own]), labels.numpy()[own])
            expected = head.predict_proba(scaler.transform(features[layer].numpy()))
            np.testing.assert_allclose(logits[layer, run].softmax(-1).numpy(), expected, atol=1e-5)


def test_held_out_labels_change_nothing() -> None:
    features, labels, _ = problem()
    one = torch.zeros(1, CLIPS, dtype=torch.bool)
    one[0, :60] = True
    other = labels.clone()
    other[60:] = (labels[60:] + 1) % CLASSES
    assert torch.equal(solve(features, labels, one).logits, solve(features, other, one).logits)


def test_runs_are_bit_identical() -> None:
    assert torch.equal(solve(*problem()).logits, solve(*problem()).logits)


def test_what_cannot_be_trained_is_refused() -> None:
    features, labels, train = problem()
    with pytest.raises(ConfigError, match="finite"):
        solve(features * float("nan"), labels, train)
    with pytest.raises(ConfigError, match="training clips in every run"):
        solve(features, labels, torch.zeros_like(train))
