"""How answers that were given out of fold are judged: by the clips whose labels are known to be true."""

from __future__ import annotations

from mer.evaluation.calibration import fit_temperature, negative_log_likelihood
from mer.evaluation.metrics import confusion, waf
from mer.kernels.lesson import Lesson
from mer.posteriors import Posteriors


def calibrated_loss(lesson: Lesson, held_out: Posteriors) -> float:
    """Mean negative log-likelihood of the judged clips at the temperature that suits them."""
    truth, logits = lesson.examples.emotion[lesson.judged], held_out.logits[lesson.judged]
    return negative_log_likelihood(logits, truth, fit_temperature(logits, truth))


def held_out_temperature(lesson: Lesson, held_out: Posteriors) -> float:
    """The temperature that suits the judged clips."""
    return fit_temperature(held_out.logits[lesson.judged], lesson.examples.emotion[lesson.judged])


def held_out_waf(lesson: Lesson, held_out: Posteriors) -> float:
    """Weighted F1 of the judged clips."""
    truth, predicted = lesson.examples.emotion[lesson.judged], held_out.predicted[lesson.judged]
    return float(waf(confusion(truth, predicted, held_out.logits.shape[1])))


def held_out_accuracy(lesson: Lesson, held_out: Posteriors) -> float:
    """Accuracy on the judged clips."""
    right = held_out.predicted == lesson.examples.emotion
    return float(right[lesson.judged].mean())
