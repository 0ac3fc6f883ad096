from __future__ import annotations

import math

import pytest

from benchmarks.search.halving import SuccessiveHalving
from mer.errors import ConfigError


def test_at_each_rung_a_third_goes_on_and_one_is_left() -> None:
    halving = SuccessiveHalving(9, first_rung=2, factor=3)
    best = {index: index / 10 for index in range(9)}
    assert list(halving(1, best)) == []
    assert sorted(halving(2, best)) == [0, 1, 2, 3, 4, 5]
    left = {6: 0.9, 7: 0.7, 8: 0.8}
    assert list(halving(3, left)) == []
    assert sorted(halving(6, left)) == [7, 8]
    assert list(halving(18, {6: 0.9})) == []


def test_one_that_ended_by_itself_keeps_its_place() -> None:
    halving = SuccessiveHalving(4, first_rung=2, factor=2)
    halving(1, {0: 0.9, 1: 0.1, 2: 0.2, 3: 0.3})
    assert sorted(halving(2, {1: 0.1, 2: 0.2, 3: 0.3})) == [1, 2]  # 0 has ended and is still the best


def test_a_model_without_a_score_goes_first() -> None:
    assert list(SuccessiveHalving(2, first_rung=1, factor=2)(1, {0: math.nan, 1: 0.0})) == [0]


@pytest.mark.parametrize(("first", "factor"), [(0, 3), (1, 1)])
def test_rungs_that_never_come_are_refused(first: int, factor: int) -> None:
    with pytest.raises(ConfigError, match="first rung of at least 1"):
        SuccessiveHalving(9, first_rung=first, factor=factor)
