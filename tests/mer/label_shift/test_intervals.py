"""The bootstrap by expansion against one that fits everything anew, and its coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scored_clips import SHIFTED, TRAINING, calibration, drawn, spoilt, target

from mer.label_shift.bbse import confusion_of, estimate_bbse, predictions
from mer.label_shift.calibration import fit_bias_corrected
from mer.label_shift.clip_sets import CalibrationClips, TargetClips, drawn_together
from mer.label_shift.config import LabelShiftConfig
from mer.label_shift.intervals import estimate_priors
from mer.label_shift.likelihood import estimate_em


def refitted(own: CalibrationClips, other: TargetClips, draws: int) -> dict[str, np.ndarray]:
    """Standard deviation of the priors over resamples of clips, each fitted anew from the start."""
    rng = np.random.default_rng(0)
    found: dict[str, list[np.ndarray]] = {"em": [], "bbse_soft": []}
    for _ in range(draws):
        rows, others = (rng.integers(0, len(part.logits), len(part.logits)) for part in (own, other))
        truth = own.truth[rows]
        fitted = fit_bias_corrected(own.logits[rows], truth).calibrated
        here, there = (
            fitted.log_probabilities(logits) for logits in (own.logits[rows], other.logits[others])
        )
        found["em"].append(estimate_em(there, np.bincount(truth, minlength=6) / len(truth)).prior)
        confusion = confusion_of(predictions(here, "soft"), truth)
        found["bbse_soft"].append(estimate_bbse(confusion, predictions(there, "soft").mean(axis=0)))
    return {name: np.std(values, axis=0) for name, values in found.items()}


def test_the_spread_is_that_of_fitting_anew() -> None:
    own, other = calibration(600), target(SHIFTED, 1500)
    fit = fit_bias_corrected(own.logits, own.truth)
    estimates = estimate_priors(own, other, fit, resamples=600)
    for name, wanted in refitted(own, other, 150).items():
        spread = estimates[name].samples.std(axis=0)  # type: ignore[index]
        np.testing.assert_allclose(spread, wanted, rtol=0.3)
    many = calibration(60_000)
    certain = fit_bias_corrected(many.logits, many.truth)
    without = estimate_priors(many, other, certain, resamples=600)["em"].samples.std(axis=0)
    assert estimates["em"].samples.std(axis=0).mean() > 1.15 * without.mean(), (
        "the sampling error of the calibration clips is not counted"
    )


def test_a_pull_narrows_the_spread_as_further_clips_would() -> None:
    own, other = calibration(600), target(SHIFTED, 300)
    fit = fit_bias_corrected(own.logits, own.truth)
    free, pulled = (estimate_priors(own, other, fit, resamples=300, pull=pull)["em"] for pull in (0.0, 300.0))
    assert pulled.samples.std(axis=0).mean() < 0.7 * free.samples.std(axis=0).mean()
    assert np.abs(pulled.samples.mean(axis=0) - pulled.prior).max() < 0.02
    assert np.abs(pulled.prior - own.shares).sum() < np.abs(free.prior - own.shares).sum()


@pytest.mark.slow
def test_coverage() -> None:
    inside = {"em": [], "bbse_soft": [], "bbse_hard": []}  # type: ignore[var-annotated]
    for seed in range(40):
        own, other = calibration(800, seed), target(SHIFTED, 1500, seed + 500)
        fit = fit_bias_corrected(own.logits, own.truth)
        for name, one in estimate_priors(own, other, fit, resamples=200, seed=seed).items():
            inside[name].append((one.low <= SHIFTED) & (one.high >= SHIFTED))
            assert (one.low >= 0).all() and (one.low <= one.prior).all() and (one.high >= one.prior).all()
    for name, values in inside.items():
        assert 0.89 <= np.mean(values) <= 0.99, name


def test_speakers_make_intervals_wider() -> None:
    exact, _ = drawn(SHIFTED, 1200, seed=3)
    who = np.repeat(np.arange(30), 40)
    logits = spoilt(exact) + 6 * np.random.default_rng(0).normal(size=(30, 6))[who]
    own = calibration(1000)
    fit = fit_bias_corrected(own.logits, own.truth)
    known, unknown = (
        estimate_priors(own, TargetClips(logits, names), fit, resamples=300)["em"]
        for names in (tuple(map(str, who)), ())
    )
    np.testing.assert_array_equal(known.prior, unknown.prior)
    assert (known.high - known.low).mean() > 1.3 * (unknown.high - unknown.low).mean()


def test_many_groups_are_drawn_together_in_equal_parts() -> None:
    joined = drawn_together(np.arange(10_000), np.random.default_rng(0), most=400)
    assert np.bincount(joined).tolist() == [25] * 400
    few = np.array([0, 1, 1, 2])
    np.testing.assert_array_equal(drawn_together(few, np.random.default_rng(0)), few)


def test_options() -> None:
    assert LabelShiftConfig.model_validate("correct-if-shifted").mode == "correct-if-shifted"
    assert LabelShiftConfig.model_validate(False).mode == "off"
    assert LabelShiftConfig.model_validate({"mode": False, "alpha": 0.05}).mode == "off"
    with pytest.raises(ValueError, match="could never say shift"):
        LabelShiftConfig(alpha=0.001, permutations=199)
    assert TRAINING.sum() == pytest.approx(1.0)
