from __future__ import annotations

import pytest
import torch

from mer.errors import DivergedError
from mer.training.seeding import epoch_generator
from mer.training.steps import StepGuard, seeded, warmup_cosine

FINE, BROKEN = torch.tensor(1.0), torch.tensor(float("nan"))


def test_three_broken_steps_are_forgiven_in_a_fit_not_four() -> None:
    guard = StepGuard(skipped=1)
    assert guard.accepts(FINE, FINE, where="epoch 0")
    assert not guard.accepts(BROKEN, FINE, where="epoch 0")
    assert not guard.accepts(FINE, torch.tensor(float("inf")), where="epoch 1")
    assert guard.accepts(FINE, FINE, where="epoch 1") and guard.skipped == 3
    with pytest.raises(DivergedError, match="epoch 2"):
        guard.accepts(BROKEN, BROKEN, where="epoch 2")


def test_the_step_size_rises_then_falls_to_nothing() -> None:
    factors = [warmup_cosine(step, 100, 0.1) for step in range(100)]
    peak = factors.index(max(factors))
    assert peak == 10 and factors[peak] == 1.0
    assert factors[:11] == sorted(factors[:11]) and factors[10:] == sorted(factors[10:], reverse=True)
    assert 0 < factors[0] < 0.2 and 0 < factors[-1] < 0.001
    assert warmup_cosine(0, 1, 0.0) == 1.0


def test_seeding_is_repeatable_and_leaves_no_trace() -> None:
    before = torch.random.get_rng_state()
    with seeded(epoch_generator(1, 0, "dropout")):
        one = torch.rand(3)
    with seeded(epoch_generator(1, 0, "dropout")):
        assert torch.equal(torch.rand(3), one)
    with seeded(epoch_generator(1, 1, "dropout")):
        assert not torch.equal(torch.rand(3), one)
    assert torch.equal(torch.random.get_rng_state(), before)
