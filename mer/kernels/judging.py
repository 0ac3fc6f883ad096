"""How answers that were given out of fold are judged: by the clips whose labels are known to be true."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mer.evaluation.calibration import fit_temperature, negative_log_likelihood
from mer.evaluation.metrics import confusion, waf
from mer.kernels.lesson import Lesson
from mer.posteriors import Posteriors


def calibrated_loss(lesson: Lesson, held_out: Posteriors) -> float:
    """Mean negative log-likelihood of the judged clips at the temperature that suits them."""
    logits, truth = _judged(lesson, held_out)
    return negative_log_likelihood(logits, truth, fit_temperature(logits, truth))


def held_out_temperature(lesson: Lesson, held_out: Posteriors) -> float:
    """The temperature that suits the judged clips."""
    return fit_temperature(*_judged(lesson, held_out))


def held_out_waf(lesson: Lesson, held_out: Posteriors) -> float:
    """Weighted F1 of the judged clips."""
    logits, truth = _judged(lesson, held_out)
    return float(waf(confusion(truth, logits.argmax(axis=1), logits.shape[1])))


def held_out_accuracy(lesson: Lesson, held_out: Posteriors) -> float:
    """Accuracy on the judged clips."""
    logits, truth = _judged(lesson, held_out)
    return float((logits.argmax(axis=1) == truth).mean())


def _judged(lesson: Lesson, held_out: Posteriors) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits and labels of the judged clips; the posteriors are of all clips of the lesson, or of these."""
    truth = lesson.examples.emotion[lesson.judged]
    whole = len(held_out) == len(lesson)
    return (held_out.logits[lesson.judged] if whole else held_out.logits), truth
