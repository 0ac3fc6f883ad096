"""Clips whose logits a wrong temperature and wrong biases have spoilt, with the labels they were drawn from."""

from __future__ import annotations

import numpy as np

from mer.label_shift.calibration import log_softmax
from mer.label_shift.clip_sets import CalibrationClips, TargetClips

TRAINING = np.array([0.258, 0.244, 0.204, 0.114, 0.137, 0.043])
SHIFTED = np.array([0.199, 0.219, 0.203, 0.308, 0.054, 0.017])
BIAS = np.array([0.3, -0.2, 0.0, 0.4, -0.4, 0.2])


def drawn(prior: np.ndarray, count: int, seed: int, separation: float = 2.2) -> tuple[np.ndarray, np.ndarray]:
    """(N, 6) exact log-posteriors under TRAINING of clips drawn under `prior`, and their (N,) labels."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(6, size=count, p=prior)
    features = separation * np.eye(6)[truth] + rng.normal(size=(count, 6))
    return log_softmax(separation * features + np.log(TRAINING)), truth


def spoilt(exact: np.ndarray) -> np.ndarray:
    """Logits twice too sure, with biases."""
    return np.asarray(2.0 * (exact + BIAS))


def calibration(count: int, seed: int = 1) -> CalibrationClips:
    exact, truth = drawn(TRAINING, count, seed)
    return CalibrationClips(spoilt(exact), truth=truth)


def target(prior: np.ndarray, count: int, seed: int = 2) -> TargetClips:
    return TargetClips(spoilt(drawn(prior, count, seed)[0]))
