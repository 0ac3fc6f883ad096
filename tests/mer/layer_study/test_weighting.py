from __future__ import annotations

import pytest
import torch

from mer.errors import ConfigError
from mer.layer_study.weighting import weigh_layers


def planted() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Layer 2 of 4 tells the class, in another unit than the others; two runs."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(120) % 3
    features = torch.randn(4, 120, 8, generator=generator)
    features[2] += 2 * torch.randn(3, 8, generator=generator)[labels]
    features[2] *= 100
    train = torch.stack([torch.arange(120) % 4 != run for run in range(2)])
    return features, labels, train


def test_the_telling_layer_gets_the_weight() -> None:
    features, labels, train = planted()
    found = weigh_layers(features, labels, train, 3, l2=0.1, steps=100)
    assert (found.weights.argmax(dim=1) == 2).all() and (found.weights[:, 2] > 0.5).all()
    for run in range(2):
        right = found.logits[run].argmax(dim=1) == labels
        assert right[~train[run]].float().mean() > 0.8, "clips that were held out"


def test_a_run_does_not_depend_on_its_neighbours() -> None:
    features, labels, train = planted()
    together = weigh_layers(features, labels, train, 3, l2=0.1, steps=30)
    alone = weigh_layers(features, labels, train[:1], 3, l2=0.1, steps=30)
    torch.testing.assert_close(together.weights[:1], alone.weights, atol=1e-5, rtol=0)


def test_held_out_labels_change_nothing() -> None:
    features, labels, train = planted()
    changed = torch.where(train[0], labels, (labels + 1) % 3)
    first = weigh_layers(features, labels, train[:1], 3, l2=0.1, steps=30)
    second = weigh_layers(features, changed, train[:1], 3, l2=0.1, steps=30)
    assert torch.equal(first.weights, second.weights)


def test_what_cannot_be_weighed_is_refused() -> None:
    features, labels, train = planted()
    with pytest.raises(ConfigError, match="at least 2 layers"):
        weigh_layers(features[:1], labels, train, 3, l2=0.1, steps=1)
    with pytest.raises(ConfigError, match="training clips"):
        weigh_layers(features, labels, torch.zeros_like(train), 3, l2=0.1, steps=1)
