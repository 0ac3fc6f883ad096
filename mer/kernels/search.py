"""The search: candidates compared on inner folds, weighted, and the chosen ones fitted on all clips (`mer.kernels.grid`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mer.ensemble.bagged import BaggedSelection
from mer.ensemble.ensemble import Ensemble
from mer.ensemble.search import selected_elsewhere, weighted_ensemble
from mer.kernels.comparison import COMPARISON_STEPS, Chosen, Comparison
from mer.kernels.config import SearchedOptions
from mer.kernels.fit import (
    KernelSpec,
    LogisticSpec,
    fit_kernels,
    fit_logistic_machines,
    logistics_out_of_fold,
)
from mer.kernels.grid import ALONE_WIDTH, LEAST_SHARE, VARIED_PENALTY
from mer.kernels.judging import calibrated_loss, held_out_accuracy, held_out_waf
from mer.kernels.lesson import Lesson
from mer.kernels.machines import Machine, Reading, Readings
from mer.posteriors import Posteriors

Spec = KernelSpec | LogisticSpec


class Ticks:
    """Counts the steps of a search.

    Args:
        total: number of steps.
        progress: told after every step.
    """

    def __init__(self, total: int, progress: Callable[[int, int], None] | None) -> None:
        self.total, self.progress, self.done = total, progress, 0

    def __call__(self) -> None:
        """One step more is done."""
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total)


def steps(lesson: Lesson, options: SearchedOptions) -> int:
    """Steps of `search_machines`: of the comparison, a stream each; of every kind of members; weights; the final fits."""
    return COMPARISON_STEPS + len(lesson.features) + len(options.kinds) + 2


@dataclass(frozen=True)
class Searched:
    """Result of a search."""

    machines: Mapping[str, Machine]
    rule: Ensemble
    figures: Mapping[str, float]
    history: Sequence[Mapping[str, float]]


def search_machines(lesson: Lesson, options: SearchedOptions, tick: Callable[[], None]) -> Searched:
    """Choose machines by the inner folds of the clips, and fit them on all.

    Args:
        lesson: the clips.
        options: of the search.
        tick: called after every one of the `steps`.
    """
    compared = lesson.subset(lesson.spread(options.compared))
    whole = len(compared) == len(lesson)
    specs: dict[str, Spec] = {}
    held_out: dict[str, Posteriors] = {}
    fitted: dict[str, Machine] = {}
    chosen = Comparison(compared, options, tick).chosen()

    def loss(name: str) -> float:
        return calibrated_loss(compared, held_out[name])

    if "kernel" in options.kinds:
        kernels = kernel_members(compared, chosen, options)
        specs |= kernels
        for name, (machine, posteriors) in zip(
            kernels, fit_kernels(compared, list(kernels.values())), strict=True
        ):
            held_out[name] = posteriors
            if whole:
                fitted[name] = machine
        tick()
    if "linear" in options.kinds:
        for name, path in logistic_members(compared, chosen, options).items():
            for one, posteriors in zip(path, logistics_out_of_fold(compared, path), strict=True):
                key = f"{name}, C {one.inverse_penalty:g}"
                specs[key], held_out[key] = one, posteriors
        if options.variants and lesson.may_vary:
            best = min((name for name, one in specs.items() if isinstance(one, LogisticSpec)), key=loss)
            own = replace(specs[best], varied=True)
            assert isinstance(own, LogisticSpec)
            specs[f"{best}, varied"], held_out[f"{best}, varied"] = (
                own,
                logistics_out_of_fold(compared, [own])[0],
            )
        tick()
    rule, procedure = _weighted(compared, held_out, options.selection)
    tick()
    fitted |= _fitted(lesson, {name: specs[name] for name in rule.members if name not in fitted})
    machines = {name: fitted[name] for name in rule.members}
    tick()
    judged = compared.subset(np.flatnonzero(compared.judged))
    figures = {
        "validation_waf": held_out_waf(judged, procedure),
        "validation_accuracy": held_out_accuracy(judged, procedure),
        "candidates": float(len(specs)),
        "members": float(len(rule.members)),
    }
    weight = dict(zip(rule.members, rule.weights, strict=True))
    history = [
        _row(compared, specs[name], held_out[name], weight.get(name, 0.0), number)
        for number, name in enumerate(specs)
    ]
    return Searched(machines, rule, figures, history)


def kernel_members(lesson: Lesson, chosen: Chosen, options: SearchedOptions) -> dict[str, KernelSpec]:
    """Kernel machines of step 4 of the written list."""
    best = chosen.best
    every = {name: Reading(0, of.shape[2] - 1, 1.0) for name, of in lesson.features.items()}
    alike = {name: Reading(*chosen.windows[name], 1 / len(lesson.features)) for name in lesson.features}
    members = {
        "kernel": best,
        "kernel, half the width": replace(best, width=best.width / 2),
        "kernel, twice the width": replace(best, width=best.width * 2),
        "kernel, all states": replace(
            best,
            readings={name: replace(every[name], weight=of.weight) for name, of in best.readings.items()},
        ),
    }
    varied = {}
    if options.variants and lesson.may_vary:
        varied = {
            f"{name}, varied": replace(of, varied=True, penalty=VARIED_PENALTY * of.penalty)
            for name, of in members.items()
            if any(lesson.features[stream].shape[0] > 1 for stream in of.readings)
        }
    plain = members | {
        "kernel, streams alike": replace(best, readings=alike, width=ALONE_WIDTH),
        "kernel, one stream": chosen.alone,
    }
    return _distinct(plain | varied)


def logistic_members(
    lesson: Lesson, chosen: Chosen, options: SearchedOptions
) -> dict[str, list[LogisticSpec]]:
    """Logistic regressions of step 4 of the written list, by their inverse penalties."""
    plain = {name: Reading(*window, 1.0) for name, window in chosen.windows.items()}
    paths = {"logistic": plain, "logistic, weighed": _as_weighed(lesson, chosen.best.readings)}
    distinct = {repr(readings): name for name, readings in reversed(paths.items())}
    return {
        name: [LogisticSpec(readings, value) for value in options.inverse_penalties]
        for name, readings in paths.items()
        if name in distinct.values()
    }


def _as_weighed(lesson: Lesson, readings: Readings) -> Readings:
    """Factors by which features count as the kernel weighs their streams, as long together as without factors."""
    widths = {name: lesson.features[name].shape[3] for name in readings}
    total = sum(read.weight for read in readings.values())
    scale = sum(widths.values()) / total
    return {
        name: replace(read, weight=math.sqrt(scale * read.weight / widths[name]))
        for name, read in readings.items()
    }


def _distinct(specs: dict[str, KernelSpec]) -> dict[str, KernelSpec]:
    """Without those that are the same as an earlier one."""
    first: dict[str, str] = {}
    for name, spec in specs.items():
        first.setdefault(repr(replace(spec, readings=dict(sorted(spec.readings.items())))), name)
    return {name: specs[name] for name in first.values()}


def _weighted(
    lesson: Lesson, held_out: Mapping[str, Posteriors], selection: BaggedSelection
) -> tuple[Ensemble, Posteriors]:
    """The rule, and the answers of the procedure for every clip out of fold."""
    rows = np.flatnonzero(lesson.judged)
    ids = [lesson.examples.clip_ids[row] for row in rows]
    judged = {name: posteriors.restricted(ids) for name, posteriors in held_out.items()}
    truth, fold = lesson.examples.emotion[rows], lesson.fold[rows]
    speakers = [lesson.examples.speaker[row] for row in rows]
    rule = weighted_ensemble(judged, truth, speakers, selection, LEAST_SHARE)
    procedure = selected_elsewhere(judged, truth, speakers, fold, selection)
    return rule, procedure


def _fitted(lesson: Lesson, specs: Mapping[str, Spec]) -> dict[str, Machine]:
    """Machines on all clips."""
    kernels = {name: spec for name, spec in specs.items() if isinstance(spec, KernelSpec)}
    fits = fit_kernels(lesson, list(kernels.values()))
    machines: dict[str, Machine] = {name: machine for name, (machine, _) in zip(kernels, fits, strict=True)}
    logistics = {name: spec for name, spec in specs.items() if isinstance(spec, LogisticSpec)}
    machines |= zip(logistics, fit_logistic_machines(lesson, list(logistics.values())), strict=True)
    return machines


def _row(lesson: Lesson, spec: Spec, held_out: Posteriors, weight: float, number: int) -> dict[str, float]:
    """What the history says of a candidate."""
    row = {
        "candidate": float(number),
        "weight": weight,
        "loss": calibrated_loss(lesson, held_out),
        "waf": held_out_waf(lesson, held_out),
        "accuracy": held_out_accuracy(lesson, held_out),
        "varied": float(spec.varied),
    }
    if isinstance(spec, KernelSpec):
        row |= {"width": spec.width, "penalty": spec.penalty}
    else:
        row |= {"inverse_penalty": spec.inverse_penalty}
    for name, read in spec.readings.items():
        row |= {
            f"weight.{name}": read.weight,
            f"first.{name}": float(read.first),
            f"last.{name}": float(read.last),
        }
    return row
