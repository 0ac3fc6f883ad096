"""The kinds `kernel` and `linear`: one machine, whose temperature (and penalty) inner folds fit."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from mer.ensemble.ensemble import Ensemble
from mer.errors import ConfigError
from mer.kernels.config import KernelOptions, LinearOptions, StreamOptions
from mer.kernels.fit import KernelSpec, LogisticSpec, fit_kernel, fit_logistic_machines, logistics_out_of_fold
from mer.kernels.fitted import FittedMachines
from mer.kernels.grid import COMPARED, INVERSE_PENALTIES, kernel_penalty
from mer.kernels.judging import calibrated_loss, held_out_accuracy, held_out_temperature, held_out_waf
from mer.kernels.lesson import Lesson, learnt_streams, read_lesson
from mer.kernels.machines import Machine, Reading, Readings
from mer.kernels.saved import load_machines
from mer.kernels.states import STATES
from mer.kernels.system import ABILITIES, KernelSystem, LinearSystem
from mer.posteriors import Posteriors
from mer.stream_tables import Level
from mer.systems.abilities import Abilities
from mer.systems.kinds import FitData, FitRun, SystemKind


class KernelKind(SystemKind[KernelOptions]):
    """Kernel ridge machines."""

    name: ClassVar[str] = KernelSystem.kind
    options_type = KernelOptions

    def levels(self, options: KernelOptions) -> tuple[Level, ...]:
        """`states`."""
        return (STATES,)

    def abilities(self, options: KernelOptions) -> Abilities:
        """All but warm starts and export."""
        return ABILITIES

    def fit(self, data: FitData, options: KernelOptions, run: FitRun) -> KernelSystem:
        """Fit on the training clips; validation clips are not read.

        Raises:
            ConfigError: streams or hidden states that are not there, or fewer than two classes.
        """
        lesson = read_lesson(data, options.streams, options.folds, options.seed)
        varied = options.variants and lesson.may_vary
        penalty = options.penalty or kernel_penalty(varied)
        spec = KernelSpec(_readings(lesson, options, total=1.0), options.width, penalty, varied)
        machine, held_out = fit_kernel(lesson, spec)
        if run.progress is not None:
            run.progress(1, 1)
        return KernelSystem(_fitted(data, lesson, machine, lesson, held_out))

    def load(self, folder: Path) -> KernelSystem:
        """See `load_machines`."""
        return KernelSystem(load_machines(folder))


class LinearKind(SystemKind[LinearOptions]):
    """Logistic regressions."""

    name: ClassVar[str] = LinearSystem.kind
    options_type = LinearOptions

    def levels(self, options: LinearOptions) -> tuple[Level, ...]:
        """`states`."""
        return (STATES,)

    def abilities(self, options: LinearOptions) -> Abilities:
        """All but warm starts and export."""
        return ABILITIES

    def fit(self, data: FitData, options: LinearOptions, run: FitRun) -> LinearSystem:
        """Fit on the training clips; validation clips are not read.

        Raises:
            ConfigError: as of `KernelKind.fit`.
        """
        lesson = read_lesson(data, options.streams, options.folds, options.seed)
        varied = options.variants and lesson.may_vary
        readings = _readings(lesson, options, total=None)
        values = (options.inverse_penalty,) if options.inverse_penalty is not None else INVERSE_PENALTIES
        specs = [LogisticSpec(readings, value, varied, options.iterations) for value in values]
        compared = lesson.subset(lesson.spread(COMPARED))
        held_out = logistics_out_of_fold(compared, specs) if lesson.divided else []
        best = int(np.argmin([calibrated_loss(compared, one) for one in held_out])) if held_out else 0
        (machine,) = fit_logistic_machines(lesson, [specs[best]])
        if run.progress is not None:
            run.progress(1, 1)
        return LinearSystem(_fitted(data, lesson, machine, compared, held_out[best] if held_out else None))

    def load(self, folder: Path) -> LinearSystem:
        """See `load_machines`."""
        return LinearSystem(load_machines(folder))


def _readings(lesson: Lesson, options: StreamOptions, total: float | None) -> Readings:
    """What a machine of these options reads; weights that are not given are alike, `total` in sum or 1 each.

    Raises:
        ConfigError: hidden states that are not there.
    """
    weights = {name: weight for name, weight in options.streams.items() if name in lesson.features}
    if not options.streams:
        weights = dict.fromkeys(lesson.features, 1.0 if total is None else total / len(lesson.features))
    readings = {}
    for name, weight in weights.items():
        last = lesson.features[name].shape[2] - 1
        window = options.states.get(name, (0, last))
        if window[1] > last:
            raise ConfigError(
                f"stream {name}: expected hidden states 0 to {last}, found states {window[0]} to {window[1]} in the options"
            )
        readings[name] = Reading(window[0], window[1], weight)
    return readings


def _fitted(
    data: FitData, lesson: Lesson, machine: Machine, compared: Lesson, held_out: Posteriors | None
) -> FittedMachines:
    """One machine as a system at its temperature; 1 where no fold could be held out."""
    figures, temperature = {"validation_waf": float("nan")}, 1.0
    if held_out is not None and lesson.divided:
        temperature = held_out_temperature(compared, held_out)
        figures = {
            "validation_waf": held_out_waf(compared, held_out),
            "validation_accuracy": held_out_accuracy(compared, held_out),
        }
    name = "machine"
    return FittedMachines(
        classes=data.classes,
        known=lesson.known,
        streams=learnt_streams(lesson, {name: machine}),
        machines={name: machine},
        rule=Ensemble("uniform", (name,), {name: temperature}, ()),
        figures=figures,
    )
