"""Bias-corrected temperature scaling undoes a wrong temperature and wrong biases, and knows its own sampling error."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scored_clips import TRAINING, calibration, drawn, spoilt

from mer.errors import ConfigError
from mer.label_shift.calibration import fit_bias_corrected, log_softmax


def test_temperature_and_biases_are_found() -> None:
    clips = calibration(40_000)
    fitted = fit_bias_corrected(clips.logits, clips.truth).calibrated
    assert fitted.inverse_temperature == pytest.approx(0.5, abs=0.01)
    exact, _ = drawn(TRAINING, 2000, seed=5)
    found = np.exp(fitted.log_probabilities(spoilt(exact)))
    assert np.abs(found - np.exp(exact)).max() < 0.04


def test_it_is_the_likeliest_by_another_optimiser() -> None:
    clips = calibration(500)
    fit = fit_bias_corrected(clips.logits, clips.truth).calibrated

    def loss(theta: np.ndarray) -> float:
        logs = log_softmax(theta[0] * clips.logits + theta[1:])
        return float(-logs[np.arange(500), clips.truth].sum() + 0.005 * (theta[1:] ** 2).sum())

    best = minimize(loss, np.r_[1.0, np.zeros(6)], method="BFGS", options={"gtol": 1e-5})
    assert loss(np.r_[fit.inverse_temperature, fit.bias]) == pytest.approx(best.fun, abs=1e-4)


def test_mean_posterior_is_the_share_of_the_labels() -> None:
    clips = calibration(3000)
    fitted = fit_bias_corrected(clips.logits, clips.truth).calibrated
    mean = np.exp(fitted.log_probabilities(clips.logits)).mean(axis=0)
    np.testing.assert_allclose(mean, clips.shares, atol=1e-5)
    assert np.abs(np.exp(log_softmax(clips.logits)).mean(axis=0) - clips.shares).max() > 0.01


def test_influence_says_what_a_clip_more_would_change() -> None:
    clips = calibration(400)
    fit = fit_bias_corrected(clips.logits, clips.truth)
    for row in (3, 77):
        more = fit_bias_corrected(
            np.vstack([clips.logits, clips.logits[row]]), np.append(clips.truth, clips.truth[row])
        ).calibrated
        moved = (
            np.r_[more.inverse_temperature, more.bias]
            - np.r_[fit.calibrated.inverse_temperature, fit.calibrated.bias]
        )
        np.testing.assert_allclose(fit.influence[row], moved, atol=0.1 * np.abs(moved).max() + 1e-4)


def test_a_class_without_clips_leaves_finite_numbers() -> None:
    clips = calibration(300)
    keep = clips.truth != 5
    fitted = fit_bias_corrected(clips.logits[keep], clips.truth[keep]).calibrated
    assert np.isfinite(fitted.bias).all()
    with pytest.raises(ConfigError, match="labelled"):
        fit_bias_corrected(clips.logits, np.full(300, -1))
