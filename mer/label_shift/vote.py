"""The prior-weighted vote: several models' log-posteriors in sum, corrected from the training priors to the target's.

Known (Shi and Gao 2024): a vote by prior knowledge corrects the difference between the class distributions of training
and test data. Reconstruction: `score_c = sum_m log p_m(c|x) + log(q_c / p_c)`. With one model it is the correction of
Saerens et al. 2002 (known). A sum of M log-posteriors is too sure of itself where models agree in their errors; calibrate
it as a whole (`fit_bias_corrected` on the pooled log-posteriors of held-out clips) before priors are estimated or
corrected.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError
from mer.label_shift.calibration import log_softmax

Floats = NDArray[np.float64]


def pooled(log_posteriors: Sequence[Floats]) -> Floats:
    """(N, C) sum over M models of their (N, C) calibrated log-posteriors, as log-probabilities.

    Raises:
        ConfigError: no models, or models of different clips or classes.
    """
    if not log_posteriors or len({scores.shape for scores in log_posteriors}) != 1:
        raise ConfigError(
            "vote: expected log-posteriors of one shape (clips, classes) from at least one model"
        )
    return log_softmax(np.sum(np.stack(log_posteriors), axis=0))


def prior_weighted_vote(log_posteriors: Sequence[Floats], training: Floats, target: Floats) -> Floats:
    """(N, C) log-posteriors of the vote of M models under the target priors.

    Args:
        log_posteriors: M times (N, C), calibrated.
        training: (C,) priors p they were calibrated under, all above 0.
        target: (C,) priors q; a class with 0 is never answered.

    Raises:
        ConfigError: priors that are none.
    """
    if not (training > 0).all() or (target < 0).any() or not np.isclose(target.sum(), 1.0, atol=1e-6):
        raise ConfigError(
            f"vote: expected training priors above 0 and target priors that sum to 1, found {training.tolist()}, "
            f"{target.tolist()}"
        )
    with np.errstate(divide="ignore"):
        shift = np.log(target) - np.log(training)
    return log_softmax(pooled(log_posteriors) + shift)
