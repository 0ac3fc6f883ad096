from __future__ import annotations

import json

import numpy as np
import pytest

from mer.evaluation.gate import GateConfig, GateDecision, ScoredClips, decide
from mer.evaluation.gate_checks import GateChecks, share_gap
from mer.recipes import load_recipe

CLASSES = 6


def scored(
    rng: np.random.Generator,
    recall: np.ndarray,
    *,
    sureness: float = 0.75,
    speakers: int = 24,
    each: int = 50,
) -> ScoredClips:
    """Answers right in `recall[class]` of a class' clips, wrong ones of any class, as sure as `sureness` says."""
    who = np.repeat(np.arange(speakers), each)
    truth = np.random.default_rng(7).integers(0, CLASSES, len(who))
    said = np.where(rng.random(len(who)) < recall[truth], truth, rng.integers(0, CLASSES, len(who)))
    shares = np.full((len(who), CLASSES), (1 - sureness) / (CLASSES - 1))
    shares[np.arange(len(who)), said] = sureness
    names = tuple(f"s{number}" for number in who)
    return ScoredClips(tuple(f"c{row}" for row in range(len(who))), truth, said, names, shares)


def decided(challenger: ScoredClips, champion: ScoredClips, **checks: float | None) -> GateDecision:
    config = GateConfig(resamples=300, checks=GateChecks.model_validate(checks))
    return decide(challenger, champion, config, emotions=tuple("abcdef"))


def test_a_challenger_that_is_better_everywhere_passes_all_checks() -> None:
    rng = np.random.default_rng(0)
    decision = decided(scored(rng, np.full(6, 0.85)), scored(rng, np.full(6, 0.75)))
    assert decision.promote and [one.passed for one in decision.checks] == [True] * 3
    assert "checks passed: F1 by class" in decision.reason
    assert [row["check"] for row in json.loads(decision.to_json())["checks"]] == [
        "class",
        "log-loss",
        "shares",
    ]


def test_a_class_that_falls_keeps_out_what_is_better_overall() -> None:
    rng = np.random.default_rng(1)
    recall = np.array([0.2, 0.95, 0.95, 0.95, 0.95, 0.95])
    pair = scored(rng, recall), scored(rng, np.full(6, 0.7))
    assert decided(*pair, class_fall=None, share_gap_rise=None).promote, "weighted F1 alone lets it pass"
    decision = decided(*pair)
    assert not decision.promote and decision.difference > 0
    assert (
        decision.reason.startswith("kept out by a check: F1 of a 0.")
        and "though better: WAF" in decision.reason
    )
    failed = [one for one in decision.checks if not one.passed]
    assert [(one.check, one.class_index) for one in failed] == [("class", 0)]


def test_overconfident_probabilities_keep_out_a_better_challenger() -> None:
    rng = np.random.default_rng(2)
    pair = scored(rng, np.full(6, 0.8), sureness=0.9999), scored(rng, np.full(6, 0.7))
    decision = decided(*pair)
    assert not decision.promote and "log-loss" in decision.reason.partition(";")[0]
    assert decided(*pair, log_loss_rise=None).promote
    unknown = ScoredClips(pair[1].clip_ids, pair[1].truth, pair[1].predicted, pair[1].speaker)
    decision = decided(pair[0], unknown)
    assert decision.promote and "log-loss not known" in decision.reason, "a champion of before has none"


def test_class_shares_far_from_the_labels_keep_out() -> None:
    rng = np.random.default_rng(3)
    champion = scored(rng, np.full(6, 0.5))
    answers = champion.predicted.copy()
    wrong = champion.truth != answers
    answers[wrong & (rng.random(len(answers)) < 0.3)] = champion.truth[
        wrong & (rng.random(len(answers)) < 1)
    ][0]
    better = np.where(rng.random(len(answers)) < 0.25, champion.truth, answers)
    leaning = np.where((better != champion.truth) & (rng.random(len(better)) < 0.9), 2, better)
    challenger = ScoredClips(champion.clip_ids, champion.truth, leaning, champion.speaker)
    decision = decided(challenger, champion, class_fall=None)
    finding = next(one for one in decision.checks if one.check == "shares")
    assert not finding.passed and (finding.difference or 0) > 0.15 and not decision.promote


def test_share_gap_is_half_the_sum_of_differences() -> None:
    assert share_gap(np.array([[5, 5], [0, 10]])) == pytest.approx(0.25)
    assert share_gap(np.array([[5, 5], [5, 5]])) == 0


def test_few_clips_of_a_class_refuse_nothing() -> None:
    rng = np.random.default_rng(4)
    better, worse = (
        scored(rng, np.full(6, 0.9), speakers=6, each=8),
        scored(rng, np.full(6, 0.5), speakers=6, each=8),
    )
    rare = np.flatnonzero(better.truth == 0)[:1]
    better.predicted[rare] = 1
    assert next(one for one in decided(better, worse).checks if one.check == "class").passed


def test_checks_are_options_of_a_recipe_and_older_configurations_load() -> None:
    recipe = load_recipe("demo", ("gate.checks.class_fall=0.1", "gate.checks.log_loss_rise=null"))
    assert recipe.gate.checks == GateChecks(class_fall=0.1, log_loss_rise=None)
    stored = {
        "margin": 0.0,
        "confidence": 0.97,
        "budget": 0.05,
        "resamples": 2000,
        "min_clips": 20,
        "seed": 0,
    }
    assert GateConfig.model_validate(stored).checks == GateChecks()


def test_equal_challengers_are_seldom_refused_by_a_check() -> None:
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(60):
        pair = scored(rng, np.full(6, 0.75)), scored(rng, np.full(6, 0.75))
        refused += any(not one.passed for one in decided(*pair).checks)
    assert refused <= 3
