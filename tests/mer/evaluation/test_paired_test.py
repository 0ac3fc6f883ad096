"""The paired test: what a plain enumeration gives, its level on equal systems, its power, and Holm's correction."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from sklearn.metrics import f1_score

from mer.errors import ConfigError
from mer.evaluation.metrics import accuracy
from mer.evaluation.paired_test import DRAWS, holm, paired_randomisation

CLASSES = 3


def answers(rng: np.random.Generator, skill: float, truth: np.ndarray, who: np.ndarray) -> np.ndarray:
    """A system that is right on this share of the clips, on more of some speakers than of others."""
    right = (skill + rng.normal(0, 0.15, who.max() + 1)).clip(0, 1)[who]
    return np.where(rng.random(len(truth)) < right, truth, rng.integers(0, CLASSES, len(truth)))


def drawn(
    rng: np.random.Generator, skills: tuple[float, float], speakers: int, each: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str | None]]:
    who = np.repeat(np.arange(speakers), each)
    truth = rng.integers(0, CLASSES, len(who))
    first, second = (answers(rng, skill, truth, who) for skill in skills)
    return truth, first, second, [f"s{one}" for one in who]


def test_few_speakers_are_enumerated_as_a_plain_loop_does() -> None:
    truth, first, second, who = drawn(np.random.default_rng(3), (0.7, 0.5), 6, 7)
    found = paired_randomisation(truth, first, second, who, CLASSES)
    rows = [np.array([one == f"s{number}" for one in who]) for number in range(6)]

    def difference(one: np.ndarray, other: np.ndarray) -> float:
        scores = [
            f1_score(truth, said, average="weighted", labels=range(CLASSES), zero_division=0)
            for said in (one, other)
        ]
        return abs(float(scores[0] - scores[1]))

    beyond = 0
    for exchanged in product((False, True), repeat=6):
        one, other = first.copy(), second.copy()
        for moved, of in zip(exchanged, rows, strict=True):
            if moved:
                one[of], other[of] = second[of], first[of]
        beyond += difference(one, other) >= difference(first, second) - 1e-12
    assert found.exact and found.groups == 6 and found.exchanges == 64
    assert found.p_value == beyond / 64


def test_the_same_answers_differ_by_chance_alone_and_one_speaker_says_nothing() -> None:
    truth, first, second, _ = drawn(np.random.default_rng(1), (0.9, 0.4), 4, 5)
    same = paired_randomisation(truth, first, first, ["a"] * 10 + ["b"] * 10, CLASSES)
    assert (same.p_value, same.groups, same.exchanges) == (1.0, 0, 1)
    with_two = paired_randomisation(truth, first, second, ["a"] * 10 + ["b"] * 10, CLASSES)
    assert with_two.p_value >= 2 / 2**2, "two speakers cannot say more"
    with pytest.raises(ConfigError, match="one per clip"):
        paired_randomisation(truth, first, second, ["a"], CLASSES)


@pytest.mark.parametrize("speakers", [8, 24])
def test_equal_systems_are_told_apart_as_often_as_the_level_says_and_unequal_ones_mostly(
    speakers: int,
) -> None:
    rng = np.random.default_rng(speakers)

    def below(skills: tuple[float, float], draws: int) -> float:
        p = [
            paired_randomisation(*drawn(rng, skills, speakers, 20), CLASSES, score=accuracy).p_value
            for _ in range(draws)
        ]
        return float(np.mean(np.array(p) <= 0.05))

    # 80 draws at .05: .024 of deviation
    assert below((0.6, 0.6), 80) <= 0.05 + 3 * 0.024
    assert below((0.9, 0.5), 20) >= 0.8


def test_many_speakers_are_drawn_and_the_same_again() -> None:
    truth, first, second, who = drawn(np.random.default_rng(5), (0.8, 0.5), 40, 10)
    one, again = (paired_randomisation(truth, first, second, who, CLASSES) for _ in range(2))
    assert one == again and not one.exact and one.exchanges == DRAWS + 1
    assert one.p_value == 1 / (DRAWS + 1), "no draw is as far apart"
    assert paired_randomisation(truth, second, first, who, CLASSES).p_value == one.p_value


def test_holm_is_the_published_rule() -> None:
    # the worked example of Holm's procedure for .01, .04, .03, .005: .005 * 4, .01 * 3, .03 * 2, then no less than that
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == (1.0, 1.0)
    assert holm([]) == ()
