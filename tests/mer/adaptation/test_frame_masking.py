from __future__ import annotations

import torch

from mer.adaptation.frame_masking import blank, feature_masks, time_masks


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_stretch_is_at_most_the_share_of_its_own_clip() -> None:
    lengths = torch.tensor([200, 50, 9, 1] * 300)
    masks = time_masks(lengths, 200, 1, 0.1, generator())
    sizes = masks.sum(dim=1).view(300, 4)
    assert sizes.max(dim=0).values.tolist() == [20, 5, 0, 0]
    assert abs(float(sizes[:, 0].float().mean()) - 10) < 1.0  # uniform from 0 to 20
    assert not masks[torch.arange(200)[None] >= lengths[:, None]].any()  # no padding
    edges = (masks[:, 1:] & ~masks[:, :-1]).sum(dim=1) + masks[:, 0]
    assert int(edges.max()) == 1  # one stretch
    reached = masks.view(300, 4, 200)[:, 1, :50].any(dim=0)
    assert reached.all()  # everywhere in the clip


def test_several_masks_and_the_generator_decides() -> None:
    masks = feature_masks(64, 100, 3, 0.2, generator(1))
    assert masks.shape == (64, 100) and 20 < int(masks.sum(dim=1).max()) <= 60
    assert torch.equal(masks, feature_masks(64, 100, 3, 0.2, generator(1)))
    assert not torch.equal(masks, feature_masks(64, 100, 3, 0.2, generator(2)))


def test_blanked_values_are_the_filler_and_others_stay() -> None:
    hidden = torch.randn(2, 4, 3, generator=generator())
    filler = torch.tensor([7.0, 8.0, 9.0])
    times = torch.tensor([[False, True, False, False], [False] * 4])
    features = torch.tensor([[False, False, True], [True, False, False]])
    result = blank(hidden, filler, times, features)
    expected = hidden.clone()
    expected[0, 1] = filler
    expected[0, :, 2] = 9.0
    expected[1, :, 0] = 7.0
    assert torch.equal(result, expected)
    assert torch.equal(blank(hidden, filler, None, None), hidden)
