"""Kernel machines compared on inner folds: distances computed once, every machine answered from one inverse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mer.kernels.config import SearchedOptions
from mer.kernels.fit import KernelSpec, fit_kernel, learnt_exponents
from mer.kernels.grid import (
    ALONE_PENALTIES,
    ALONE_PENALTY,
    ALONE_WIDTH,
    ALONE_WIDTHS,
    nearby_windows,
    windows,
)
from mer.kernels.judging import calibrated_loss
from mer.kernels.lesson import Lesson
from mer.kernels.machines import Floats, Reading

COMPARISON_STEPS = 3
"""Steps of `Comparison.chosen`, beside one a stream."""

Window = tuple[int, int]
Tick = Callable[[], None]


@dataclass(frozen=True)
class Chosen:
    """What the comparison found."""

    windows: dict[str, Window]
    """Stream -> first and last hidden state."""
    best: KernelSpec
    alone: KernelSpec
    """The best machine of the best stream alone."""


class Comparison:
    """Kernel machines on the clips as they are.

    Args:
        lesson: the clips.
        options: of the search.
        tick: called after every step of the search.
    """

    def __init__(self, lesson: Lesson, options: SearchedOptions, tick: Tick) -> None:
        self.lesson, self.options, self.tick = lesson, options, tick
        self.distances: dict[tuple[str, Window], Floats] = {}
        self.losses: dict[str, float] = {}

    def chosen(self) -> Chosen:
        """Steps 1 to 3 of the written list."""
        found, alone = {}, {}
        for name in self.lesson.features:
            found[name], alone[name] = self._best_window(name)
            self.tick()
        order = sorted(alone, key=lambda name: alone[name])
        single = self._best_of(
            [
                self._spec({order[0]: 1.0}, found, width, penalty)
                for width in ALONE_WIDTHS
                for penalty in ALONE_PENALTIES
            ]
        )
        best = self._weighed(order, found)
        self.tick()
        best = self._best_of(
            [
                replace(best, width=width, penalty=penalty)
                for width in self.options.widths
                for penalty in self.options.penalties
            ]
        )
        self.tick()
        best = self._weights_again(best, order, found)
        best = self._best_of(
            [
                replace(best, width=width, penalty=penalty)
                for width in _around(best.width, self.options.widths)
                for penalty in _around(best.penalty, self.options.penalties)
            ]
        )
        self.tick()
        return Chosen(found, best, single)

    def loss(self, spec: KernelSpec) -> float:
        """Calibrated loss of a machine on the inner folds."""
        key = repr(replace(spec, readings=dict(sorted(spec.readings.items()))))
        if key not in self.losses:
            self.losses[key] = self._computed_loss(spec)
        return self.losses[key]

    def _computed_loss(self, spec: KernelSpec) -> float:
        total = np.zeros((len(self.lesson), len(self.lesson)), np.float32)
        for name, read in spec.readings.items():
            total += np.float32(read.weight) * self._distance(name, (read.first, read.last))
        return calibrated_loss(self.lesson, fit_kernel(self.lesson, spec, total)[1])

    def _best_window(self, name: str) -> tuple[Window, float]:
        states = self.lesson.features[name].shape[2]

        def tried(candidates: Sequence[Window]) -> dict[Window, float]:
            return {
                window: self.loss(self._spec({name: 1.0}, {name: window}, ALONE_WIDTH, ALONE_PENALTY))
                for window in candidates
            }

        losses = tried(windows(states))
        first = min(losses, key=lambda window: losses[window])
        losses |= tried([window for window in nearby_windows(first, states) if window not in losses])
        best = min(losses, key=lambda window: losses[window])
        self.distances = {
            key: value for key, value in self.distances.items() if key[0] != name or key[1] == best
        }
        return best, losses[best]

    def _weighed(self, order: Sequence[str], found: dict[str, Window]) -> KernelSpec:
        """Streams added one by one at their best weight, then every weight once more."""
        spec = self._spec({order[0]: 1.0}, found, ALONE_WIDTH, ALONE_PENALTY)
        for name in order[1:]:
            spec = self._best_of(self._with_weights(spec, name, found))
        return self._weights_again(spec, order, found) if len(order) > 1 else spec

    def _weights_again(self, spec: KernelSpec, order: Sequence[str], found: dict[str, Window]) -> KernelSpec:
        for name in order if len(order) > 1 else ():
            spec = self._best_of([spec, *self._with_weights(spec, name, found)])
        return spec

    def _with_weights(self, spec: KernelSpec, name: str, found: dict[str, Window]) -> list[KernelSpec]:
        """The same with one stream at every weight of the grid; a machine must read something."""
        others = {other: read for other, read in spec.readings.items() if other != name}
        specs = []
        for weight in self.options.weights:
            own = {name: Reading(*found[name], weight)} if weight else {}
            if others or own:
                specs.append(replace(spec, readings=others | own))
        return specs

    def _best_of(self, specs: Sequence[KernelSpec]) -> KernelSpec:
        """The one with the least loss; the first of equal ones."""
        return min(specs, key=self.loss) if len(specs) > 1 else specs[0]

    def _distance(self, name: str, window: Window) -> Floats:
        key = (name, window)
        if key not in self.distances:
            read = {name: Reading(*window, 1.0)}
            (self.distances[key],) = learnt_exponents(self.lesson, [read], varied=False)
        return self.distances[key]

    @staticmethod
    def _spec(
        weights: dict[str, float], found: dict[str, Window], width: float, penalty: float
    ) -> KernelSpec:
        return KernelSpec(
            {name: Reading(*found[name], weight) for name, weight in weights.items()}, width, penalty
        )


def _around(value: float, grid: Sequence[float]) -> list[float]:
    """The value and its neighbours on the grid."""
    place = list(grid).index(value)
    return list(grid)[max(0, place - 1) : place + 2]
