"""Fits of single machines, with the answers that each gives for the inner folds that it did not learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mer.ensemble.landmarks import landmark_ridge
from mer.ensemble.logistic import Logistic, Span, fit_path, span_of
from mer.ensemble.ridge import LeftOut, leave_groups_out
from mer.kernels.lesson import Lesson
from mer.kernels.machines import (
    SHARPNESS,
    Floats,
    KernelMachine,
    LearntStates,
    LogisticMachine,
    Readings,
    averaged,
    exponents,
    kernel_of,
    side_by_side,
)
from mer.posteriors import Posteriors

_DOUBLE = 600
"""Up to so many rows systems are solved in double precision: it costs nothing there."""


@dataclass(frozen=True)
class KernelSpec:
    """A kernel machine that may be fitted."""

    readings: Readings
    width: float
    penalty: float
    varied: bool = False


@dataclass(frozen=True)
class LogisticSpec:
    """A logistic regression that may be fitted."""

    readings: Readings
    inverse_penalty: float
    varied: bool = False
    iterations: int = 1000


def learnt_exponents(lesson: Lesson, machines: Sequence[Readings], varied: bool) -> list[Floats]:
    """(V * N, V * M) weighted squared distances of the clips to those that kernel machines keep (`Lesson.kept`), by machine."""
    variants = lesson.variants if varied else 1
    read = dict.fromkeys(name for readings in machines for name in readings)
    features = {name: lesson.features[name][:variants] for name in read}
    kept = features
    if len(lesson.kept) < len(lesson):
        kept = {name: values[:, lesson.kept] for name, values in features.items()}
    return exponents(features, LearntStates(kept), machines, variants)


def fit_kernels(lesson: Lesson, specs: Sequence[KernelSpec]) -> list[tuple[KernelMachine, Posteriors]]:
    """`fit_kernel` of several machines, which share their distances."""
    fitted: dict[int, tuple[KernelMachine, Posteriors]] = {}
    for varied in (False, True):
        places = [place for place, spec in enumerate(specs) if (spec.varied and lesson.may_vary) is varied]
        distinct = {repr(specs[place].readings): specs[place].readings for place in places}
        if distinct:
            sums = learnt_exponents(lesson, list(distinct.values()), varied)
            found = dict(zip(distinct, sums, strict=True))
            for place in places:
                fitted[place] = fit_kernel(lesson, specs[place], found[repr(specs[place].readings)])
    return [fitted[place] for place in range(len(specs))]


def fit_kernel(
    lesson: Lesson, spec: KernelSpec, exponent: Floats | None = None
) -> tuple[KernelMachine, Posteriors]:
    """Fit a kernel machine on all clips, and answer every inner fold by a fit on the others.

    Args:
        lesson: the clips.
        spec: what is fitted.
        exponent: of `learnt_exponents`, where it is known already.

    Returns:
        The machine, and the posteriors of all N clips out of fold.
    """
    spec = replace(spec, varied=spec.varied and lesson.may_vary)
    variants = lesson.variants if spec.varied else 1
    if exponent is None:
        (exponent,) = learnt_exponents(lesson, [spec.readings], spec.varied)
    kernel = kernel_of(exponent, spec.width)
    if len(kernel) <= _DOUBLE:
        kernel = kernel.astype(np.float64)
    classes = lesson.target.shape[1]
    target = np.tile(lesson.target - 1 / classes, (variants, 1))
    valence, known, mean = _valence(lesson, variants)
    both = known.all()
    if both:
        target = np.hstack([target, valence[:, None]])
    everyone = np.ones(len(kernel), dtype=bool)
    left_out = _left_out(lesson, kernel, target, spec.penalty, everyone)
    of_valence: Floats = np.zeros(kernel.shape[1], np.float32)
    valence_answers: Floats = np.full(len(kernel), np.nan, np.float32)
    if both:
        of_valence = left_out.dual[:, -1].astype(np.float32)
        valence_answers = (left_out.answers[:, -1] + mean).astype(np.float32)
    elif known.any():
        own = _left_out(lesson, kernel, valence[:, None], spec.penalty, known)
        of_valence = own.dual[:, 0].astype(np.float32)
        valence_answers[known] = own.answers[known, 0] + mean
    machine = KernelMachine(
        spec.readings,
        spec.width,
        spec.varied,
        left_out.dual[:, :classes].astype(np.float32),
        of_valence,
        mean,
    )
    scores = SHARPNESS * (left_out.answers[:, :classes] + 1 / classes)
    return machine, _posteriors(lesson, scores, valence_answers, variants)


def _left_out(
    lesson: Lesson,
    kernel: NDArray[np.floating],
    target: NDArray[np.float64],
    penalty: float,
    used: NDArray[np.bool_],
) -> LeftOut:
    """Ridge regression on the rows that are used; 0 in the coefficients and answers of the others."""
    variants = len(kernel) // len(lesson)
    weight, fold = np.tile(lesson.examples.weight, variants), np.tile(lesson.fold, variants)
    dual = np.zeros((kernel.shape[1], target.shape[1]))
    answers = np.zeros(target.shape)
    rows = np.flatnonzero(used)
    if len(kernel) == kernel.shape[1]:
        square = kernel if len(rows) == len(kernel) else kernel[np.ix_(rows, rows)]
        found = leave_groups_out(square, target[rows], weight[rows], penalty, fold[rows])
        dual[rows], answers[rows] = found.dual, found.answers
        return LeftOut(dual, answers)
    columns = np.flatnonzero(used[lesson.kept])
    places = np.searchsorted(rows, lesson.kept[columns])  # of the landmarks among the used rows
    found = landmark_ridge(
        kernel[np.ix_(rows, columns)], places, target[rows], weight[rows], penalty, fold[rows]
    )
    dual[columns], answers[rows] = found.dual, found.answers
    return LeftOut(dual, answers)


def fit_logistic_machines(lesson: Lesson, specs: Sequence[LogisticSpec]) -> list[LogisticMachine]:
    """Fit logistic regressions on all clips; those that read the same share its span, and start from each other."""
    groups: dict[str, list[int]] = {}
    for place, spec in enumerate(specs):
        groups.setdefault(repr(replace(spec, inverse_penalty=0.0)), []).append(place)
    fitted: dict[int, LogisticMachine] = {}
    everyone = np.arange(len(lesson))
    for places in groups.values():
        ascending = sorted(places, key=lambda place: specs[place].inverse_penalty)
        span, variants = _span(lesson, specs[ascending[0]])
        fits = _fits(lesson, span.coordinates, everyone, [specs[place] for place in ascending])
        for place, (logistic, coef, mean) in zip(ascending, fits, strict=True):
            fitted[place] = LogisticMachine(
                specs[place].readings, variants > 1, span.in_features(logistic), span.back(coef), mean
            )
    return [fitted[place] for place in range(len(specs))]


def logistics_out_of_fold(lesson: Lesson, specs: Sequence[LogisticSpec]) -> list[Posteriors]:
    """Posteriors of every inner fold by fits on the others, of regressions that differ in ascending inverse penalties alone."""
    span, variants = _span(lesson, specs[0])
    count, classes = len(lesson), lesson.target.shape[1]
    scores = np.zeros((len(specs), count, classes), np.float32)
    valence = np.full((len(specs), count), np.nan, np.float32)
    for number in np.unique(lesson.fold):
        rows, others = np.flatnonzero(lesson.fold == number), np.flatnonzero(lesson.fold != number)
        asked = span.coordinates[_in_variants(rows, count, variants)]
        for place, (fitted, coef, mean) in enumerate(_fits(lesson, span.coordinates, others, specs)):
            found = fitted.scores(asked).astype(np.float32), (asked @ coef + mean).astype(np.float32)
            scores[place, rows], valence[place, rows] = averaged(found, variants)
    return [Posteriors(lesson.examples.clip_ids, one, two) for one, two in zip(scores, valence, strict=True)]


def _span(lesson: Lesson, spec: LogisticSpec) -> tuple[Span, int]:
    """All clips in their span, variant after variant, and how many variants these are."""
    variants = lesson.variants if spec.varied and lesson.may_vary else 1
    features = {name: lesson.features[name][:variants] for name in spec.readings}
    return span_of(side_by_side(features, spec.readings, variants)), variants


def _fits(
    lesson: Lesson, coordinates: Floats, clips: NDArray[np.int64], specs: Sequence[LogisticSpec]
) -> list[tuple[Logistic, NDArray[np.float64], float]]:
    """Regressions of classes, and of valence (weights and constant; zeros and NaN without any), on these clips."""
    variants = len(coordinates) // len(lesson)
    rows = _in_variants(clips, len(lesson), variants)
    # every variant counts 1 / V, so that C means the same with and without variants
    weight = np.tile(lesson.examples.weight, variants)[rows] / variants
    learnt = coordinates[rows]
    target = np.tile(lesson.target, (variants, 1))[rows]
    values = [one.inverse_penalty for one in specs]
    fits = fit_path(learnt, target, weight, values, specs[0].iterations)
    given = np.tile(lesson.examples.valence.astype(np.float64), variants)[rows]
    return [
        (fitted, *_linear_valence(learnt, given, weight, value))
        for fitted, value in zip(fits, values, strict=True)
    ]


def _in_variants(clips: NDArray[np.int64], count: int, variants: int) -> NDArray[np.int64]:
    """Rows of these of `count` clips in all variants, one variant after the other."""
    return np.concatenate([clips + place * count for place in range(variants)])


def _valence(lesson: Lesson, variants: int) -> tuple[NDArray[np.float64], NDArray[np.bool_], float]:
    """(V * N,) valence less its mean, who has some, and the mean (NaN: nobody)."""
    values = lesson.examples.valence.astype(np.float64)
    known = np.isfinite(values)
    mean = float(np.average(values[known], weights=lesson.examples.weight[known])) if known.any() else np.nan
    return np.tile(np.where(known, values - mean, 0.0), variants), np.tile(known, variants), mean


def _linear_valence(
    features: Floats, valence: NDArray[np.float64], weight: NDArray[np.floating], inverse_penalty: float
) -> tuple[NDArray[np.float64], float]:
    """Ridge weights of valence over the features, and their constant; zeros and NaN without any valence."""
    from sklearn.linear_model import Ridge

    known = np.isfinite(valence)
    if not known.any():
        return np.zeros(features.shape[1]), float("nan")
    # products with the features alone (LSQR): the closed form is a hundred times as dear with thousands of clips, and 1e-5 apart
    model = Ridge(alpha=1 / inverse_penalty, solver="lsqr", tol=1e-6, max_iter=1000)
    model.fit(features[known], valence[known], sample_weight=weight[known])
    return model.coef_.astype(np.float64), float(model.intercept_)


def _posteriors(
    lesson: Lesson, scores: NDArray[np.floating], valence: NDArray[np.floating], variants: int
) -> Posteriors:
    both = averaged((scores.astype(np.float32), valence.astype(np.float32)), variants)
    return Posteriors(lesson.examples.clip_ids, *both)
