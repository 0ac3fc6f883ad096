from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from mer.errors import ConfigError
from mer.evaluation.calibration import (
    cross_fitted_probabilities,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    reliability_bins,
)


def drawn(scale: float, count: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits `scale` times those that the labels were drawn from."""
    rng = np.random.default_rng(seed)
    logits = 1.5 * rng.normal(size=(count, 5))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return (scale * logits).astype(np.float32), labels


def probabilities(logits: np.ndarray, temperature: float) -> np.ndarray:
    exponentials = np.exp(logits / temperature - (logits / temperature).max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_the_temperature_undoes_a_wrong_scale(scale: float) -> None:
    logits, labels = drawn(scale)
    temperature = fit_temperature(logits, labels)
    assert temperature == pytest.approx(scale, rel=0.08)
    best = minimize_scalar(
        lambda t: negative_log_likelihood(logits, labels, t), bounds=(0.05, 20), method="bounded"
    )
    assert temperature == pytest.approx(best.x, rel=1e-3)


def test_calibration_lowers_the_error() -> None:
    logits, labels = drawn(4.0)
    before = expected_calibration_error(probabilities(logits, 1.0), labels)
    after = expected_calibration_error(probabilities(logits, fit_temperature(logits, labels)), labels)
    assert before > 0.15 and after < 0.03


def test_the_error_is_the_weighted_gap_of_the_bins() -> None:
    confident = np.array([[0.9, 0.1]] * 10 + [[0.4, 0.6]] * 10)
    labels = np.array([0] * 6 + [1] * 4 + [1] * 9 + [0])
    assert expected_calibration_error(confident, labels, bins=10) == pytest.approx(0.5 * 0.3 + 0.5 * 0.3)
    bins = reliability_bins(confident, labels, bins=10)
    assert bins.count.sum() == 20 and (bins.count > 0).sum() == 2
    assert reliability_bins(np.array([[1.0, 0.0]]), np.array([0]), bins=10).count[-1] == 1


def test_extremes_stay_in_range() -> None:
    sure = np.array([[9.0, 0.0], [0.0, 9.0]], dtype=np.float32)
    assert fit_temperature(sure, np.array([0, 1])) == pytest.approx(0.05)
    assert fit_temperature(sure, np.array([1, 0])) == pytest.approx(20.0)
    with pytest.raises(ConfigError, match="finite"):
        fit_temperature(sure * np.nan, np.array([0, 1]))


def test_calibration_is_judged_by_temperatures_of_the_other_folds() -> None:
    rng = np.random.default_rng(8)
    folds = np.arange(300) % 3
    truth = rng.integers(0, 4, 300)
    logits = 3 * np.eye(4)[truth] + rng.normal(0, 2, (300, 4))
    logits[folds == 0] *= 5  # a fold that is far too sure: no other fold shows it
    calibrated = cross_fitted_probabilities(logits, truth, folds)
    assert np.allclose(calibrated.sum(axis=1), 1)
    temperature = fit_temperature(logits[folds != 0], truth[folds != 0])
    own = np.exp(logits[folds == 0] / temperature)
    assert np.allclose(calibrated[folds == 0], own / own.sum(axis=1, keepdims=True))
    flattering = np.exp(logits / fit_temperature(logits, truth))
    flattering /= flattering.sum(axis=1, keepdims=True)
    assert expected_calibration_error(calibrated, truth) > expected_calibration_error(flattering, truth)
    assert np.array_equal(calibrated.argmax(axis=1), logits.argmax(axis=1))
    alone = cross_fitted_probabilities(logits, truth, np.zeros(300, np.int64))
    assert np.allclose(np.log(alone[:, 0] / alone[:, 1]), logits[:, 0] - logits[:, 1], atol=1e-6)
