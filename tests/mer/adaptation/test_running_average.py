from __future__ import annotations

import pytest
import torch

from mer.adaptation.running_average import RunningAverage


def test_the_average_is_the_formula_and_only_lent() -> None:
    own = torch.zeros(2)
    average = RunningAverage({"a": own}, 0.5)
    expected = 0.0
    for step, value in enumerate([1.0, 3.0, -2.0, 8.0], start=1):
        own.fill_(value)
        average.update()
        kept = 0.0 if step == 1 else min(0.5, step / (step + 9))
        expected = kept * expected + (1 - kept) * value
        assert average.values["a"].tolist() == pytest.approx([expected] * 2)
    with average.in_use():
        assert own.tolist() == pytest.approx([expected] * 2)
    assert own.tolist() == [8.0, 8.0]


def test_without_decay_there_is_none() -> None:
    own = torch.ones(2)
    average = RunningAverage({"a": own}, 0.0)
    average.update()
    assert not average.values
    with average.in_use():
        assert own.tolist() == [1.0, 1.0]
