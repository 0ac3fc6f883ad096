from __future__ import annotations

from math import comb

import numpy as np
import pytest
from scipy.stats import ks_2samp

from mer.drift.exchange import design_effect, exchange_of, matched_rows
from mer.drift.statistics import (
    classifier_accuracy,
    kolmogorov_smirnov,
    maximum_mean_discrepancy,
    mean_distance,
)

RNG = np.random.default_rng(0)
UNIT = np.repeat(np.arange(10), 4)
DRAWS = np.zeros((3, 10))
DRAWS[0, 6:] = DRAWS[1, :4] = DRAWS[2, ::3] = 1


def side(draw: np.ndarray) -> np.ndarray:
    return np.asarray(draw[UNIT] > 0)


def test_ks_distance_is_scipys_under_every_draw_with_equal_and_unknown_values() -> None:
    values = np.round(RNG.normal(size=40), 1)
    values[[3, 17]] = np.nan
    known = ~np.isnan(values)
    expected = [ks_2samp(values[~side(draw) & known], values[side(draw) & known]).statistic for draw in DRAWS]
    assert kolmogorov_smirnov(values, UNIT, DRAWS) == pytest.approx(expected)


def test_mmd_is_its_definition() -> None:
    vectors = RNG.normal(size=(40, 3))
    squares = ((vectors[:, None] - vectors) ** 2).sum(axis=2)
    kernel = np.exp(-squares / np.median(squares))
    expected = []
    for draw in DRAWS:
        new = side(draw)
        expected.append(
            kernel[np.ix_(new, new)].mean()
            + kernel[np.ix_(~new, ~new)].mean()
            - 2 * kernel[np.ix_(new, ~new)].mean()
        )
    assert maximum_mean_discrepancy(vectors, UNIT, DRAWS) == pytest.approx(np.sqrt(expected))


def test_the_classifier_is_judged_on_speakers_that_it_did_not_learn() -> None:
    """Leave one speaker out, written out."""
    values = RNG.normal(size=(40, 2)) + np.repeat(RNG.normal(size=(10, 2)), 4, axis=0)
    speaker = np.array([0, 1, 2, 3, 4, 5, 5, 6, 7, 8])
    variances = values.var(axis=0)
    scaled = values / np.sqrt(variances + 0.05 * variances.mean())
    expected = []
    for draw in DRAWS:
        right: dict[bool, list[bool]] = {True: [], False: []}
        for row in range(40):
            learnt = speaker[UNIT] != speaker[UNIT[row]]
            new, old = (scaled[learnt & (side(draw) == which)].mean(axis=0) for which in (True, False))
            said = (scaled[row] - (new + old) / 2) @ (new - old) > 0
            right[bool(side(draw)[row])].append(bool(said) == bool(side(draw)[row]))
        expected.append((np.mean(right[True]) + np.mean(right[False])) / 2 - 0.5)
    assert classifier_accuracy(values, UNIT, speaker, DRAWS) == pytest.approx(expected)


def test_mean_distance_grows_with_the_difference_of_the_means() -> None:
    values = np.random.default_rng(1).dirichlet(np.ones(3), 40)
    moved = values.copy()
    moved[side(DRAWS[0])] = values[side(DRAWS[0])] * 0.5 + np.array([0.5, 0, 0])
    assert mean_distance(moved, UNIT, DRAWS)[0] > 2 * mean_distance(values, UNIT, DRAWS)[0]


def test_few_arrangements_are_all_gone_through_once() -> None:
    exchange = exchange_of([f"r{i // 3}" for i in range(24)], [f"n{i // 3}" for i in range(12)], 0.01)
    draws = exchange.draws(999, [0])
    assert len(draws) == comb(12, 4) == exchange.arrangements == len(np.unique(draws, axis=0))
    assert (draws[0] == exchange.new).all() and (draws.sum(axis=1) == 4).all()


def test_pairs_swap_and_keep_one_part_on_each_side() -> None:
    names = [f"s{i // 2}" for i in range(40)]
    exchange = exchange_of(names, names, 0.01)
    draws = exchange.draws(199, [0])
    assert len(exchange.pairs) == 20 and exchange.arrangements == 2**20
    assert (draws[:, exchange.pairs].sum(axis=2) == 1).all()
    few = exchange_of(names[:6], names[:6], 0.01)
    assert len(few.pairs) == 0 and few.arrangements == comb(6, 3), (
        "three pairs cannot alarm: dealt like others"
    )


def test_both_sides_get_as_many_clips_a_speaker() -> None:
    reference = [f"r{i}" for i in range(5) for _ in range(20)]
    batch = [f"n{i}" for i in range(4) for _ in range(3 + i)]
    old, new = matched_rows(reference, batch, 0)
    sizes = [
        np.sort(np.unique([names[i] for i in rows], return_counts=True)[1]).tolist()
        for names, rows in ((reference, old), (batch, new))
    ]
    assert sizes[1] == [3, 4, 5, 6] and set(sizes[0]) == {3, 4, 5, 6}
    unknown = matched_rows(reference, [None] * 9, 0)
    assert [len(rows) for rows in unknown] == [100, 9]


def test_the_design_effect_is_one_of_independent_clips_and_their_number_of_copies() -> None:
    rng = np.random.default_rng(2)
    names = [f"s{i // 10}" for i in range(400)]
    spread = 1 + np.sqrt(2 / 39)
    assert design_effect(rng.normal(size=(400, 20)), names) == pytest.approx(spread, rel=0.1)
    copies = np.repeat(rng.normal(size=(40, 20)), 10, axis=0)
    assert design_effect(copies, names) == pytest.approx(10 * spread, rel=0.1)
    assert design_effect(copies, [None] * 400) == 1
