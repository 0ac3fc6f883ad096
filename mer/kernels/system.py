"""Fitted kernel and linear systems: machines over the same streams, and the rule that combines what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mer.ensemble.logistic import HIDDEN
from mer.errors import ConfigError
from mer.kernels.fitted import FittedMachines
from mer.kernels.machines import (
    Floats,
    KernelMachine,
    LearntStates,
    LogisticMachine,
    Machine,
    Reading,
    Readings,
    averaged,
    by_state,
    exponents,
    side_by_side,
)
from mer.kernels.saved import save_machines
from mer.kernels.states import STATES, StateTable, state_tables, variants_of
from mer.posteriors import Posteriors
from mer.stream_tables import Level, LevelTables
from mer.systems.abilities import Abilities
from mer.systems.fitted import FittedSystem, PerStream, SystemAnswers

ABILITIES = Abilities(warm_start=False, soft_targets=True, missing_streams=True, export=False)
_CHUNK = 32_000_000
"""Most pairs of clips whose distances are held at once."""


class MachineSystem(FittedSystem):
    """A system of kernel and logistic machines.

    Args:
        fitted: machines, what they learnt from, and how they are combined.
    """

    def __init__(self, fitted: FittedMachines) -> None:
        self.fitted = fitted

    @property
    def classes(self) -> tuple[str, ...]:
        """See `FittedSystem.classes`."""
        return self.fitted.classes

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams that any machine reads."""
        return tuple(self.fitted.streams.scaling)

    @property
    def levels(self) -> tuple[Level, ...]:
        """`states`."""
        return (STATES,)

    @property
    def abilities(self) -> Abilities:
        """All but warm starts and export."""
        return ABILITIES

    @property
    def figures(self) -> Mapping[str, float]:
        """`validation_waf` and others of the fit."""
        return self.fitted.figures

    @property
    def history(self) -> Sequence[Mapping[str, float]]:
        """One row for every candidate that was compared."""
        return self.fitted.history

    def _answer(self, tables: LevelTables) -> SystemAnswers:
        clip_ids = next(iter(tables[STATES].values())).clip_ids
        read = self._read(tables)
        answers = self._machine_answers(read, clip_ids)
        present = {name: read[name].present for name in self.streams}
        of_machines = self.fitted.rule.member_weights(answers)
        weights = np.zeros((len(clip_ids), len(self.streams)))
        for name, share in of_machines.items():
            weights += share[:, None] * _shares(self.fitted.machines[name].readings, self.streams, present)
        return SystemAnswers(self.fitted.rule.combine(answers), PerStream(self.streams, weights))

    def _read(self, tables: LevelTables) -> dict[str, StateTable]:
        """The streams that machines read; one that has no table, or that no clip has, is absent for all clips."""
        given = tables[STATES]
        read = state_tables({name: given[name] for name in self.streams if name in given})
        count = len(next(iter(given.values())).clip_ids)
        for name, scaling in self.fitted.streams.scaling.items():
            states, width = scaling.mean.shape
            # the width of what none of the clips has is only guessed
            if name not in read or not read[name].present.any():
                read[name] = StateTable(
                    np.zeros((count, 1, states, width), np.float32), np.zeros(count, bool)
                )
            elif read[name].shape[1:] != (states, width):
                raise ConfigError(
                    f"stream {name}: expected {states} hidden states of width {width}, as the system was fitted on, found "
                    f"{read[name].shape[1]} of width {read[name].shape[2]}"
                )
        return read

    def _machine_answers(
        self, tables: Mapping[str, StateTable], clip_ids: tuple[str, ...]
    ) -> dict[str, Posteriors]:
        pairs = max([1, *(of.shape[0] * of.shape[1] for of in self._features.values())])
        step = max(1, _CHUNK // (pairs * variants_of(tables)))
        parts: dict[str, list[tuple[Floats, Floats]]] = {name: [] for name in self.fitted.rule.needed}
        for start in range(0, max(1, len(clip_ids)), step):
            rows = np.arange(start, min(start + step, len(clip_ids)))
            for name, scores in self._scores({key: of.rows(rows) for key, of in tables.items()}).items():
                parts[name].append(scores)
        return {
            name: Posteriors(
                clip_ids,
                np.where(self.fitted.known, np.concatenate([one for one, _ in chunks]), np.float32(HIDDEN)),
                np.concatenate([two for _, two in chunks]),
            )
            for name, chunks in parts.items()
        }

    def _scores(self, tables: Mapping[str, StateTable]) -> dict[str, tuple[Floats, Floats]]:
        """Machine -> (A, C) scores and (A,) valence, averaged over the variants that it reads."""
        scaled = {
            name: np.moveaxis(self.fitted.streams.scaling[name].apply(table), 1, 0)
            for name, table in tables.items()
        }
        plain = {name: values[:1] for name, values in scaled.items()}
        found: dict[str, tuple[Floats, Floats]] = {}
        for varied in (False, True):
            rows, variants = (scaled, variants_of(tables)) if varied else (plain, 1)
            kernels = {
                name: machine
                for name, machine in self._machines.items()
                if isinstance(machine, KernelMachine) and machine.varied is varied
            }
            if kernels:
                learnt = self._learnt[varied]
                first = self.fitted.streams.first
                compared = {
                    name: rows[name][:, :, first[name] : first[name] + of.shape[2]]
                    for name, of in learnt.features.items()
                }
                readings = [_counted_from(first, one.readings) for one in kernels.values()]
                sums = exponents(compared, learnt, readings, variants)
                for (name, machine), exponent in zip(kernels.items(), sums, strict=True):
                    found[name] = averaged(machine.scores(exponent), variants)
            for name, one in self._machines.items():
                if isinstance(one, LogisticMachine) and one.varied is varied:
                    features = side_by_side(rows, one.readings, variants)
                    found[name] = averaged(one.scores(features), variants)
        return found

    @cached_property
    def _machines(self) -> dict[str, Machine]:
        return {name: self.fitted.machines[name] for name in self.fitted.rule.needed}

    @cached_property
    def _features(self) -> dict[str, Floats]:
        return {name: by_state(of) for name, of in self.fitted.streams.features.items()}

    @cached_property
    def _learnt(self) -> dict[bool, LearntStates]:
        """Of all variants, and of the clips as they are: what both weigh is computed once, not for every answer."""
        plain = {name: of[:1] for name, of in self._features.items()}
        return {True: LearntStates(self._features), False: LearntStates(plain)}

    def _write(self, folder: Path) -> None:
        save_machines(folder, self.fitted)


class KernelSystem(MachineSystem):
    """One kernel ridge machine."""

    kind: ClassVar[str] = "kernel"


class LinearSystem(MachineSystem):
    """One logistic regression."""

    kind: ClassVar[str] = "linear"


class SearchedSystem(MachineSystem):
    """The machines that a search chose."""

    kind: ClassVar[str] = "searched"


def _shares(
    readings: Readings, streams: Sequence[str], present: Mapping[str, NDArray[np.bool_]]
) -> NDArray[np.float64]:
    """(N, M) weights of a machine's streams, 1 in sum over those that a clip has."""
    weights = np.stack(
        [(readings[name].weight if name in readings else 0.0) * present[name] for name in streams], axis=1
    )
    total = weights.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(weights, total, out=np.zeros_like(weights), where=total > 0))


def _counted_from(first: Mapping[str, int], readings: Readings) -> Readings:
    """The readings with hidden states counted from the first that is stored."""
    return {
        name: Reading(read.first - first[name], read.last - first[name], read.weight)
        for name, read in readings.items()
    }
