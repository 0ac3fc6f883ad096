from __future__ import annotations

import torch

from mer.adaptation.codebook import fit_codebook, nearest_clusters
from mer.adaptation.masked_reconstruction import MaskedReconstruction


def planted(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.randint(4, (600,), generator=generator)
    centres = 3 * torch.randn(4, 16, generator=generator)
    return centres[kinds] + 0.2 * torch.randn(600, 16, generator=generator), kinds


def test_planted_clusters_are_found_again() -> None:
    frames, kinds = planted()
    found = nearest_clusters(frames, fit_codebook(frames, 4, seed=3))
    table = torch.zeros(4, 4)
    for kind, cluster in zip(kinds.tolist(), found.tolist(), strict=True):
        table[kind, cluster] += 1
    assert int(table.max(dim=1).values.sum()) == 600 and len(found.unique()) == 4


def test_the_seed_decides_and_broken_frames_cost_nothing() -> None:
    frames, _ = planted()
    centres = fit_codebook(frames, 6, seed=3)
    assert torch.equal(centres, fit_codebook(frames, 6, seed=3))
    assert not torch.equal(centres, fit_codebook(frames, 6, seed=4))
    broken = torch.cat([frames, torch.full((1, 16), float("nan"))])
    assert fit_codebook(broken, 6, seed=3).isfinite().all()
    assert int(nearest_clusters(broken, centres)[-1]) in range(6)
    assert len(fit_codebook(frames[:3], 6, seed=3)) == 3


def test_the_cluster_loss_is_the_summed_cross_entropy() -> None:
    reconstruction = MaskedReconstruction(16, clusters=5).requires_grad_(False)
    frames, _ = planted()
    targets = torch.tensor([0, 4, 2])
    loss = reconstruction.summed_loss(frames[:3], targets)
    chances = torch.softmax(reconstruction.predict(frames[:3]), dim=1)
    expected = -sum(float(torch.log(chances[i, int(t)])) for i, t in enumerate(targets))
    torch.testing.assert_close(float(loss), expected, rtol=1e-5, atol=1e-5)
