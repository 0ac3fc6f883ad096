from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch

from mer.alignment.projectors import AnchorProjector, TrainedProjector


def clips(seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(100, 12)) @ rng.normal(size=(12, 12)) * 5 + 7
    return torch.from_numpy(mixed.astype(np.float32))


def test_whitened_components_are_uncorrelated_with_variance_one() -> None:
    projector = AnchorProjector(12, 5, 5, "whiten")
    projector.fit(clips())
    components = (clips() - projector.mean) @ projector.basis
    covariance = np.cov(components.numpy().T, bias=True)
    np.testing.assert_allclose(covariance, np.eye(5), atol=1e-3)
    assert not list(projector.parameters())


def test_components_are_the_leading_ones() -> None:
    from sklearn.decomposition import PCA

    standard = (clips() - clips().mean(0)) / clips().std(0, correction=0)
    known = PCA(3, whiten=True).fit_transform(standard.double().numpy())
    projector = AnchorProjector(12, 3, 3, "whiten")
    projector.fit(clips())
    components = ((clips() - projector.mean) @ projector.basis).numpy()
    for column in range(3):
        assert abs(np.corrcoef(components[:, column], known[:, column])[0, 1]) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("kind", ["linear", "whiten"])
def test_a_constant_feature_and_few_clips_stay_finite(kind: Literal["linear", "whiten"]) -> None:
    few = clips()[:3].clone()
    few[:, 4] = 2.0
    projector = AnchorProjector(12, 2, 2, kind)
    projector.fit(few)
    out = projector(few)
    assert torch.isfinite(out).all()
    torch.testing.assert_close(out.norm(dim=1), torch.ones(3))


def test_the_anchor_side_is_linear_but_for_its_length() -> None:
    projector = AnchorProjector(12, 8, 4, "linear")
    projector.fit(clips())
    one, other = clips()[0] - projector.mean, clips()[1] - projector.mean
    straight = projector.map(one @ projector.basis) * 2 + projector.map(other @ projector.basis)
    summed = projector(projector.mean + 2 * one + other)
    torch.testing.assert_close(summed, torch.nn.functional.normalize(straight, dim=0), atol=1e-4, rtol=1e-4)


def test_the_trained_side_gives_unit_vectors_whatever_the_scale() -> None:
    projector = TrainedProjector(12, 16, 6, dropout=0.5).eval()
    projector.fit(clips())
    out = projector(clips())
    torch.testing.assert_close(out.norm(dim=1), torch.ones(100))
    scaled = TrainedProjector(12, 16, 6, dropout=0.5).eval()
    scaled.load_state_dict(projector.state_dict())
    scaled.fit(clips() * 100 - 5)
    torch.testing.assert_close(scaled(clips() * 100 - 5), out, atol=1e-4, rtol=1e-4)
