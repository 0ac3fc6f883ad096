"""Paired differences of the joint decoding benchmark: signs, intervals, and that both kinds resample what they say."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.fusion.joint_scores import (
    CLAIMS,
    COMBINED,
    PAIRS,
    Answers,
    Resamples,
    difference,
    figures_of,
    resampled,
    score_of,
    show,
)
from mer.examples import Examples
from mer.posteriors import Posteriors

CLIPS, CLASSES, SEEDS = 60, 3, 4
MEMBERS = ("S1", "S2")


def examples() -> Examples:
    rng = np.random.default_rng(0)
    emotion = rng.integers(0, CLASSES, size=CLIPS)
    valence = (np.array([0.0, -2.0, 2.0])[emotion] + 0.3 * rng.normal(size=CLIPS)).astype(np.float32)
    speakers = tuple(f"s{i % 6}" for i in range(CLIPS))
    ids = tuple(f"c{i}" for i in range(CLIPS))
    return Examples(ids, emotion, valence, speakers, np.arange(CLIPS) % 2, np.ones(CLIPS, np.float32))


def guesses(seed: int, skill: float, valence_noise: float) -> Posteriors:
    """Answers that are right the more often, the higher the skill."""
    own, rng = examples(), np.random.default_rng(seed)
    logits = rng.normal(size=(CLIPS, CLASSES)) + skill * np.eye(CLASSES)[own.emotion]
    valence = own.valence + valence_noise * rng.normal(size=CLIPS)
    return Posteriors(own.clip_ids, logits.astype(np.float32), valence.astype(np.float32))


def in_views(posteriors: Posteriors) -> list[Posteriors]:
    ids = posteriors.clip_ids
    return [posteriors.restricted(ids[1::2]), posteriors.restricted(ids[0::2])]


def answers() -> Answers:
    """Joint models are better in both tasks, class means worse in valence, the ensemble is the best member."""
    made = Answers(examples(), models=16, cpu_seconds=8.0)
    quality = {
        "joint": (3.0, 0.5), "separate": (1.0, 1.0), "class mean joint": (3.0, 0.8),
        "joint calibrated": (3.0, 0.4), "separate calibrated": (1.0, 0.9),
        "class mean separate": (1.0, 1.2), "class mean joint calibrated": (3.0, 0.7),
        "class mean joint predicted": (3.0, 0.9), "class mean separate calibrated": (1.0, 1.0),
        "class mean separate predicted": (1.0, 1.4),
    }  # fmt: skip
    for seed in range(SEEDS):
        for place, member in enumerate(MEMBERS):
            for kind, (skill, noise) in quality.items():
                for part in in_views(guesses(10 * seed + place, skill, noise)):
                    made.add(f"{kind}/{member}", seed, part)
        for part in in_views(guesses(10 * seed, 3.0, 0.8)):
            made.add("class mean ensemble", seed, part)
        for system in COMBINED:
            for part in in_views(guesses(10 * seed, 3.0, 0.5)):
                made.add(system, seed, part)
        for kind in ("joint", "separate"):
            made.validation.setdefault(kind, []).append(0.5)
    return made


def test_figures_have_the_signs_of_what_was_put_in() -> None:
    figures = figures_of(answers(), MEMBERS, SEEDS)
    assert (figures["clips"], figures["speakers"], figures["seeds"]) == (CLIPS, 6, SEEDS)
    assert figures["cpu_seconds_per_model"] == 0.5
    for name in set(CLAIMS) - {"ensemble_gain", "ensemble_waf_gain", "ensemble_uncalibrated_gain"}:
        assert figures[f"{name}_seeds_low"] > 0, name
        low, high = figures[f"{name}_low"], figures[f"{name}_high"]
        assert low < figures[name] < high
    for name in (
        "ensemble_gain",
        "ensemble_waf_gain",
        "ensemble_uncalibrated_gain",
    ):  # equal answers: no difference in any resample
        assert [figures[f"{name}{end}"] for end in ("", "_low", "_high", "_seeds_low")] == [0.0] * 4
    assert [name for name, *_ in PAIRS] == list(CLAIMS)
    worst = figures["class_mean_predicted_mse"]
    assert worst > figures["class_mean_mse"] > figures["class_mean_calibrated_mse"]  # type: ignore[operator]
    assert figures["S1_joint_calibrated_mse"] < figures["S1_joint_mse"]  # type: ignore[operator]
    gain = figures["joint_combined"] - figures["separate_combined"]
    assert figures["combined_gain"] == pytest.approx(gain)


def test_scores_of_a_system_are_those_of_its_joined_parts() -> None:
    own, made = examples(), answers()
    found = resampled(made, "joint/S1")
    for seed in range(SEEDS):
        expected = score_of(guesses(10 * seed, 3.0, 0.5), own.emotion, own.valence)
        assert {name: values[seed] for name, values in found.point.items()} == pytest.approx(expected)
    assert found.samples["mse"].shape == found.samples["combined"].shape == (2000, SEEDS)
    np.testing.assert_allclose(found.samples["mse"].mean(axis=0), found.point["mse"], rtol=0.05)


def resamples(by_seed: list[float], by_speaker: list[float]) -> Resamples:
    """Scores that are the sum of a seed's and of a resample's part."""
    seeds, speakers = np.array(by_seed), np.array(by_speaker)
    return Resamples({"waf": seeds}, {"waf": speakers[:, None] + seeds}, groups=8)


def test_each_interval_resamples_what_it_says() -> None:
    rng = np.random.default_rng(0)
    steady, moving = [0.1] * 5, rng.normal(0.1, 0.05, 5).tolist()
    nothing = resamples([0.0] * 5, [0.0] * 2000)
    people = rng.normal(0, 0.05, 2000).tolist()
    of_people = difference("d", [resamples(steady, people)], [nothing], "waf", 1.0)
    assert of_people["d_seeds_low"] == pytest.approx(0.1) == of_people["d_seeds_high"]
    # 1.96 standard errors, stretched by sqrt(5 / 4) for five seeds
    assert of_people["d_low"] == pytest.approx(0.1 - 1.96 * 0.05 * np.sqrt(5 / 4), abs=0.01)
    of_seeds = difference("d", [resamples(moving, [0.0] * 2000)], [nothing], "waf", 1.0)
    error = np.std(moving, ddof=1) / np.sqrt(5)
    width = float(of_seeds["d_seeds_high"]) - float(of_seeds["d_seeds_low"])  # type: ignore[arg-type]
    assert width == pytest.approx(2 * 1.96 * error, rel=0.12)
    turned = difference("d", [resamples(moving, people)], [nothing], "waf", -1.0)
    assert turned["d"] == pytest.approx(-np.mean(moving))


def test_one_seed_has_no_interval_over_seeds_but_one_over_speakers() -> None:
    people = np.random.default_rng(0).normal(0, 0.05, 2000).tolist()
    found = difference("d", [resamples([0.1], people)], [resamples([0.0], [0.0] * 2000)], "waf", 1.0)
    assert found["d_seeds_low"] == found["d"] == found["d_seeds_high"]
    assert found["d_low"] < 0.0 < found["d_high"]  # type: ignore[operator]


def test_the_tables_name_every_difference(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")  # rich breaks lines at this width
    show(figures_of(answers(), MEMBERS, SEEDS), MEMBERS)
    shown = " ".join(capsys.readouterr().out.split())
    assert f"{CLIPS} clips of 6 speakers" in shown
    assert "joint, uncertainty, mean" in shown and "ensemble" in shown
    for what in CLAIMS.values():
        assert what in shown
