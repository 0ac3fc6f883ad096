from __future__ import annotations

import numpy as np
import torch

from mer.adaptation.pooling import masked_mean_std


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
