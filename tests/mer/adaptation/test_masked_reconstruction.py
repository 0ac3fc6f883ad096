from __future__ import annotations

import pytest
import torch

from mer.adaptation.masked_reconstruction import MaskedReconstruction, span_mask


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("probability", "span"), [(0.1, 1), (0.3, 5), (0.5, 10)])
def test_the_share_of_hidden_frames_is_as_asked(probability: float, span: int) -> None:
    valid = torch.ones(400, 200, dtype=torch.bool)
    hidden = span_mask(valid, probability, span, generator())
    assert float(hidden.float().mean()) == pytest.approx(probability, abs=0.02)
    # the first and last frames are hidden as often as those in the middle
    assert float(hidden[:, 0].float().mean()) == pytest.approx(probability, abs=0.08)
    inner = hidden[:, span:-span].float()
    starts = (inner[:, 1:] > inner[:, :-1]).sum()
    assert float(inner.sum() / starts) >= span * 0.95  # spans, longer where they overlap


def test_padding_is_never_hidden_and_no_clip_is_swallowed() -> None:
    lengths = torch.arange(1, 41)
    valid = torch.arange(40)[None] < lengths[:, None]
    for seed in range(20):
        hidden = span_mask(valid, 0.6, 5, generator(seed))
        assert not hidden[~valid].any()
        assert (hidden.sum(dim=1) < lengths).all()
    assert torch.equal(span_mask(valid, 0.6, 5, generator(1)), span_mask(valid, 0.6, 5, generator(1)))


def test_the_loss_is_the_summed_error_to_normalised_targets() -> None:
    reconstruction = MaskedReconstruction(6).requires_grad_(False)
    adapted, frozen = (torch.randn(5, 6, generator=generator(seed)) for seed in (1, 2))
    naive = 0.0
    for one, other in zip(adapted, frozen, strict=True):
        target = (other - other.mean()) / torch.sqrt(other.var(correction=0) + 1e-5)
        naive += float((reconstruction.predict(one) - target).square().mean())
    assert float(reconstruction.summed_loss(adapted, frozen)) == pytest.approx(naive, rel=1e-5)
    assert float(reconstruction.summed_loss(adapted[:0], frozen[:0])) == 0.0


def test_a_hidden_frame_is_replaced_by_the_learned_vector() -> None:
    reconstruction = MaskedReconstruction(3)
    torch.nn.init.constant_(reconstruction.mask_vector, 7.0)
    hidden = torch.zeros(1, 4, 3)
    hide = torch.tensor([[False, True, False, True]])
    assert reconstruction.hide(hidden, hide)[..., 0].tolist() == [[0, 7, 0, 7]]
