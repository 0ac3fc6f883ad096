"""Guards: what each stops, and that chance on few clips stops nothing."""

from __future__ import annotations

import numpy as np
import pytest

from mer.label_shift.clip_sets import CalibrationClips, TargetClips
from mer.selftraining.config import GuardsConfig
from mer.selftraining.guards import (
    canary_guard,
    class_share_guard,
    prior_drift_guard,
    second_opinion,
    source_guard,
    stop_reason,
)

EMOTIONS = ("neutral", "angry", "happy")
CONFIG = GuardsConfig()


def drawn(prior: list[float], count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).choice(len(prior), count, p=prior)


def test_class_shares() -> None:
    gold = drawn([0.5, 0.3, 0.2], 300)
    assert class_share_guard(gold, drawn([0.4, 0.3, 0.3], 500, 1), EMOTIONS, CONFIG).passed
    flooded = class_share_guard(gold, drawn([0.02, 0.02, 0.96], 500, 1), EMOTIONS, CONFIG)
    assert not flooded.passed
    collapsed = class_share_guard(gold, np.zeros(500, dtype=np.int64), EMOTIONS, CONFIG)
    assert not collapsed.passed and "at most 4 times" in collapsed.reason
    assert class_share_guard(gold, np.zeros(6, dtype=np.int64), EMOTIONS, CONFIG).passed, (
        "few clips are chance"
    )
    assert class_share_guard(gold, np.zeros(0, dtype=np.int64), EMOTIONS, CONFIG).passed


@pytest.mark.parametrize("seed", range(20))
def test_equal_priors_are_no_finding(seed: int) -> None:
    gold, own = drawn([0.6, 0.36, 0.04], 120, seed), drawn([0.6, 0.36, 0.04], 150, seed + 100)
    assert class_share_guard(gold, own, EMOTIONS, CONFIG).passed


def predictions(prior: list[float], count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    truth = drawn(prior, count, seed)
    logits = 2.5 * np.eye(3)[truth] + np.random.default_rng(seed + 50).normal(size=(count, 3))
    return logits, truth


def test_prior_drift() -> None:
    logits, truth = predictions([0.4, 0.3, 0.3], 400, 1)
    known = CalibrationClips(logits, truth=truth)
    alike = prior_drift_guard(known, TargetClips(predictions([0.4, 0.3, 0.3], 500, 2)[0]), EMOTIONS, CONFIG)
    assert alike.passed and alike.value is not None and alike.value < 0.3
    mild = prior_drift_guard(known, TargetClips(predictions([0.3, 0.25, 0.45], 500, 3)[0]), EMOTIONS, CONFIG)
    assert mild.passed, "a shift as the challenge has it is no reason to stop"
    far = prior_drift_guard(known, TargetClips(predictions([0.03, 0.03, 0.94], 500, 4)[0]), EMOTIONS, CONFIG)
    assert not far.passed and "EM and BBSE" in far.reason
    few = prior_drift_guard(known, TargetClips(predictions([0.0, 0.0, 1.0], 30, 5)[0]), EMOTIONS, CONFIG)
    assert few.passed and few.value is None and "30 target clips" in few.reason


def test_the_canary() -> None:
    truth = np.arange(300) % 3
    before = np.where(np.arange(300) < 240, truth, (truth + 1) % 3)
    worse = np.where(np.arange(300) < 234, truth, (truth + 1) % 3)
    assert canary_guard(truth, before, before, 3, CONFIG).passed
    assert canary_guard(truth, worse, before, 3, CONFIG).passed
    fallen = canary_guard(truth, before, worse, 3, CONFIG)
    assert not fallen.passed and "0.800 -> 0.780" in fallen.reason
    assert stop_reason([fallen, canary_guard(truth, before, before, 3, CONFIG)]) == fallen.reason
    nothing = canary_guard(truth[:0], before[:0], before[:0], 3, CONFIG)
    assert nothing.passed and stop_reason([nothing]) is None


def test_a_source_that_stands_out_is_named() -> None:
    generator = np.random.default_rng(0)
    sources = [f"upload{row % 6}" for row in range(240)]
    agrees = generator.random(240) < 0.9
    (fine,) = source_guard(sources, agrees, CONFIG)
    assert fine.passed and "6 looked at" in fine.reason
    bad = agrees & ~(np.array([name == "upload3" for name in sources]) & (generator.random(240) < 0.6))
    (found,) = source_guard(sources, bad, CONFIG)
    assert not found.passed and found.source == "upload3" and "upload3" in found.reason
    (alone,) = source_guard(["a"] * 50, np.zeros(50, dtype=bool), CONFIG)
    assert alone.passed and "no two" in alone.reason
    (unknown,) = source_guard([None] * 50, np.zeros(50, dtype=bool), CONFIG)
    assert unknown.passed


@pytest.mark.parametrize("seed", range(20))
def test_sources_alike_do_not_stand_out(seed: int) -> None:
    generator = np.random.default_rng(seed)
    sources = [f"upload{number}" for number in generator.integers(0, 12, 300)]
    assert all(finding.passed for finding in source_guard(sources, generator.random(300) < 0.8, CONFIG))


def test_a_second_opinion_leaves_the_own_source_out() -> None:
    generator = np.random.default_rng(3)
    truth = generator.integers(0, 3, 200)
    features = {
        "a": 2.0 * np.eye(3)[truth] + generator.normal(size=(200, 3)),
        "b": generator.normal(size=(200, 5)),
    }
    pseudo = np.arange(200) >= 80
    sources = [None if row < 80 else f"s{row % 4}" for row in range(200)]
    poisoned = pseudo & np.array([source == "s1" for source in sources])
    labels = np.where(poisoned, (truth + 1) % 3, truth)
    found = second_opinion(features, labels, pseudo, sources, np.ones(200))
    assert (found[~pseudo] == -1).all() and (found[pseudo] >= 0).all()
    assert (found[poisoned] == truth[poisoned]).mean() > 0.7, "it did not learn from what it judges"
    (stands_out,) = source_guard(
        [sources[i] for i in np.flatnonzero(pseudo)], (found == labels)[pseudo], CONFIG
    )
    assert stands_out.source == "s1"
