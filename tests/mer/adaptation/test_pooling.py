from __future__ import annotations

import numpy as np
import torch

from mer.adaptation.pooling import AttentivePooling, masked_mean_std


def test_equals_each_clip_pooled_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(3, 7, 5, generator=generator) + 4
    lengths = [7, 3, 1]
    mask = torch.arange(7)[None] < torch.tensor(lengths)[:, None]
    hidden[~mask] = 1e6  # whatever stands in the padding
    pooled = masked_mean_std(hidden, mask)
    assert pooled.shape == (3, 10)
    for row, length in enumerate(lengths):
        alone = hidden[row, :length].numpy()
        np.testing.assert_allclose(pooled[row, :5], alone.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(pooled[row, 5:], alone.std(axis=0), rtol=1e-4, atol=1e-5)


def test_one_frame_or_none_has_a_finite_slope() -> None:
    hidden = torch.ones(2, 4, 3, requires_grad=True)
    mask = torch.tensor([[True, False, False, False], [False] * 4])
    pooled = masked_mean_std(hidden, mask)
    assert pooled[0].tolist() == [1, 1, 1, 0, 0, 0] and not pooled[1].any()
    pooled.sum().backward()
    assert hidden.grad is not None and torch.isfinite(hidden.grad).all()
    assert not hidden.grad[~mask].any()


def test_untrained_attention_is_the_mean_and_deviation() -> None:
    hidden = torch.randn(3, 9, 6, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(9)[None] < torch.tensor([9, 4, 0])[:, None]
    pooled = AttentivePooling(6)(hidden, mask)
    torch.testing.assert_close(pooled, masked_mean_std(hidden, mask), atol=1e-5, rtol=1e-5)


def test_trained_attention_weighs_frames_and_reads_no_padding() -> None:
    torch.manual_seed(0)
    pooling = AttentivePooling(6, hidden=4).requires_grad_(False)
    torch.nn.init.normal_(pooling.score.weight, std=2.0)
    hidden = torch.randn(2, 9, 6, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(9)[None] < torch.tensor([9, 5])[:, None]
    pooled = pooling(hidden, mask)
    alone = pooling(hidden[1:, :5], mask[1:, :5])
    torch.testing.assert_close(pooled[1:], alone)
    normed = torch.nn.functional.layer_norm(hidden[0], (6,))
    weight = torch.softmax(pooling.score(torch.tanh(pooling.inner(normed)))[:, 0], dim=0)
    mean = (weight[:, None] * hidden[0]).sum(dim=0)
    deviation = (weight[:, None] * (hidden[0] - mean) ** 2).sum(dim=0).sqrt()
    torch.testing.assert_close(pooled[0], torch.cat([mean, deviation]), atol=1e-5, rtol=1e-5)
    assert float((pooled[0] - masked_mean_std(hidden, mask)[0]).abs().max()) > 0.05
