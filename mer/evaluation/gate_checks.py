"""What a challenger may not be worse in, though it is better in weighted F1: single classes, calibration, class shares.

Every check is a difference challenger minus champion on the clips that both were scored on, with a one-sided interval by the
paired bootstrap over speakers, as the gate's own. A check refuses where the challenger is worse by more than the limit *and* the
interval lies wholly beyond it: with few clips of a class nothing is sure, and nothing is refused. So checks can only keep a
challenger out, and the gate's bound on false promotions holds with them as without.

Several classes are looked at, each at `(1 - confidence) / classes`: a challenger that is worse nowhere is refused by the
class floors at most so often (Bonferroni). What the checks cost in power: `python -m benchmarks.gate_checks`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from mer.evaluation.intervals import (
    Resampled,
    Resampling,
    paired_differences,
    resample_weights,
    resampling_groups,
)
from mer.evaluation.metrics import Floats, per_class_f1

_LEAST_PROBABILITY = 1e-6
"""One clip that a model is quite sure of and wrong about costs 13.8 nats, not infinitely many."""


class GateChecks(BaseModel):
    """Limits of what may be worse in a challenger that is better overall; none: not checked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    class_fall: float | None = Field(
        default=0.05,
        ge=0.0,
        lt=1.0,
        description="Most that the F1 of a single class may fall by.",
    )
    log_loss_rise: float | None = Field(
        default=0.05,
        ge=0.0,
        description="Most that the log-loss of the calibrated probabilities may rise by (nats).",
    )
    share_gap_rise: float | None = Field(
        default=0.05,
        ge=0.0,
        lt=1.0,
        description="Most that the class shares of the answers may lie farther from those of the labels than the champion's "
        "(half the sum of differences).",
    )
    confidence: float = Field(
        default=0.95, gt=0.5, lt=1.0, description="How sure it must be that a limit is exceeded."
    )


@dataclass(frozen=True)
class CheckFinding:
    """Result of one check."""

    check: str
    """`class`, `log-loss` or `shares`."""
    passed: bool
    difference: float | None
    """Challenger minus champion; of F1 a fall is negative, of the others a rise is positive. None: it could not be measured."""
    limit: float
    reason: str
    """What was found, in words for people."""
    class_index: int | None = None
    """The class with the largest fall; None: of all classes together."""


@dataclass(frozen=True)
class ComparedAnswers:
    """Two models' answers for N clips, and what is true."""

    truth: NDArray[np.int64]
    """(N,)"""
    challenger: NDArray[np.int64]
    """(N,) class index."""
    champion: NDArray[np.int64]
    """(N,) class index."""
    speakers: tuple[str | None, ...]
    classes: int
    probabilities: tuple[Floats, Floats] | None = None
    """(N, C) calibrated ones of challenger and champion; None: not known of both."""


def run_checks(
    answers: ComparedAnswers, checks: GateChecks, resampling: Resampling, names: Sequence[str] = ()
) -> tuple[CheckFinding, ...]:
    """All checks that have a limit.

    Args:
        answers: on the clips that are compared.
        checks: the limits.
        resampling: of speakers.
        names: of the classes, in index order; empty: they are called by their number.
    """
    findings = []
    if checks.class_fall is not None:
        findings.append(_class_floor(answers, checks.class_fall, checks.confidence, resampling, names))
    if checks.log_loss_rise is not None:
        findings.append(_log_loss(answers, checks.log_loss_rise, checks.confidence, resampling))
    if checks.share_gap_rise is not None:
        findings.append(_shares(answers, checks.share_gap_rise, checks.confidence, resampling))
    return tuple(findings)


def _class_floor(
    answers: ComparedAnswers, limit: float, confidence: float, resampling: Resampling, names: Sequence[str]
) -> CheckFinding:
    present = np.unique(answers.truth).tolist()
    sure = 1 - (1 - confidence) / len(present)
    falls = {}
    for kind in present:
        compared = paired_differences(
            answers.truth,
            answers.challenger,
            answers.champion,
            answers.speakers,
            answers.classes,
            score=partial(_f1_of, kind=kind),
            resampling=resampling,
        )
        falls[kind] = (compared, -_negated(compared).lower(sure))
    failed = [kind for kind, (_, upper) in falls.items() if upper < -limit]
    worst = min(failed or present, key=lambda kind: falls[kind][0].point)
    compared, upper = falls[worst]
    name = names[worst] if worst < len(names) else f"class {worst}"
    said = f"F1 of {name} {compared.second:.3f} to {compared.first:.3f}"
    reason = (
        f"{said}: a fall of at least {-upper:.3f} ({confidence:.0%} sure over all classes), at most {limit:g} is let pass"
        if failed
        else f"no class falls by more than {limit:g} for sure (largest change {said})"
    )
    return CheckFinding("class", not failed, compared.point, limit, reason, worst)


def _log_loss(
    answers: ComparedAnswers, limit: float, confidence: float, resampling: Resampling
) -> CheckFinding:
    if answers.probabilities is None:
        return CheckFinding(
            "log-loss", True, None, limit, "log-loss: not known of both versions, not checked"
        )
    rows = np.arange(len(answers.truth))
    losses = [
        -np.log(np.maximum(shares[rows, answers.truth], _LEAST_PROBABILITY))
        for shares in answers.probabilities
    ]
    first, second = (float(values.mean()) for values in losses)
    rise = _resampled_means(losses[0] - losses[1], answers.speakers, resampling)
    lower = rise.lower(confidence)
    passed = lower <= limit
    said = f"log-loss {second:.3f} to {first:.3f}"
    reason = (
        f"{said}: no rise by more than {limit:g} for sure"
        if passed
        else f"{said}: a rise of at least {lower:.3f} ({confidence:.0%} sure), at most {limit:g} is let pass"
    )
    return CheckFinding("log-loss", passed, rise.point, limit, reason)


def _shares(
    answers: ComparedAnswers, limit: float, confidence: float, resampling: Resampling
) -> CheckFinding:
    compared = paired_differences(
        answers.truth,
        answers.challenger,
        answers.champion,
        answers.speakers,
        answers.classes,
        score=share_gap,
        resampling=resampling,
    )
    lower = compared.lower(confidence)
    passed = lower <= limit
    said = f"answers' class shares {compared.first:.3f} from the labels', {compared.second:.3f} before"
    reason = (
        f"{said}: not farther by more than {limit:g} for sure"
        if passed
        else f"{said}: farther by at least {lower:.3f} ({confidence:.0%} sure), at most {limit:g} is let pass"
    )
    return CheckFinding("shares", passed, compared.point, limit, reason)


def share_gap(counts: NDArray[np.generic]) -> Floats:
    """(...) half the sum of differences between the class shares of answers and of labels, of (..., C, C) confusion counts."""
    values = counts.astype(np.float64)
    total = np.maximum(values.sum(axis=(-2, -1)), 1.0)
    return np.asarray(0.5 * np.abs(values.sum(axis=-1) - values.sum(axis=-2)).sum(axis=-1) / total)


def _f1_of(counts: NDArray[np.generic], kind: int) -> Floats:
    return np.asarray(per_class_f1(counts)[..., kind])


def _negated(compared: Resampled) -> Resampled:
    return Resampled(
        -compared.point, compared.second, compared.first, -compared.samples, compared.groups, compared.limits
    )


def _resampled_means(values: Floats, speakers: tuple[str | None, ...], resampling: Resampling) -> Resampled:
    """The mean of (N,) values and of its resamples by speaker."""
    groups = resampling_groups(speakers, len(values))
    sums, sizes = np.bincount(groups, weights=values), np.bincount(groups).astype(np.float64)
    weights = resample_weights(len(sums), resampling.resamples, resampling.seed)
    samples = (weights @ sums) / (weights @ sizes)
    limits = (float("-inf"), float("inf"))
    return Resampled(float(values.mean()), float(values.mean()), 0.0, samples, len(sums), limits)
