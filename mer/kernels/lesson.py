"""The clips that a kernel or linear system learns from: standardised streams, targets, weights and inner folds."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError
from mer.examples import Examples
from mer.kernels.fitted import LearntStreams
from mer.kernels.machines import KernelMachine, Machine
from mer.kernels.states import STATES, Floats, Scaling, fit_scaling, state_tables
from mer.systems.kinds import FitData
from mer.training.folds import assign_folds


@dataclass(frozen=True)
class Lesson:
    """N clips to learn from."""

    examples: Examples
    """Of the N clips; every one has a label and a positive weight."""
    target: NDArray[np.float64]
    """(N, C) distributions over classes."""
    fold: NDArray[np.int64]
    """(N,) inner fold, whole speakers each; one fold only where the clips cannot be divided."""
    judged: NDArray[np.bool_]
    """(N,) clips by which choices are judged: those of the cross-validation (`Examples.fold`) where there are some, since what
    else is learnt from, as pseudo-labels are, is not known to be true."""
    scaling: Mapping[str, Scaling]
    features: Mapping[str, Floats]
    """Stream -> (V, N, S, D) standardised."""
    present: Mapping[str, NDArray[np.bool_]]
    """Stream -> (N,)"""

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def variants(self) -> int:
        """In how many variants the clips come."""
        return max(int(values.shape[0]) for values in self.features.values())

    @property
    def known(self) -> NDArray[np.bool_]:
        """(C,) classes that some clip has."""
        return np.asarray((self.target > 0).any(axis=0))

    @property
    def divided(self) -> bool:
        """Whether something can be held out."""
        return int(self.fold.max()) > 0

    def subset(self, rows: NDArray[np.int64]) -> Lesson:
        """The clips at these positions, scaled as before."""
        return Lesson(
            self.examples.subset(rows),
            self.target[rows],
            self.fold[rows],
            self.judged[rows],
            self.scaling,
            {name: values[:, rows] for name, values in self.features.items()},
            {name: present[rows] for name, present in self.present.items()},
        )


def read_lesson(data: FitData, streams: Collection[str], folds: int, seed: int) -> Lesson:
    """The training clips of a fit that have a label, a weight and any of the streams.

    Args:
        data: of the fit.
        streams: names of the streams to read; none: all.
        folds: inner folds.
        seed: of the folds.

    Raises:
        ConfigError: unknown streams, features that cannot be read, or fewer than two classes to learn.
    """
    given = data.tables[STATES]
    if unknown := [name for name in streams if name not in given]:
        raise ConfigError(f"streams: expected some of {', '.join(given)}, found {', '.join(unknown)}")
    tables = state_tables({name: given[name] for name in (streams or given)})
    examples = data.examples
    usable = data.train & (examples.emotion >= 0) & (examples.weight > 0)
    rows = np.flatnonzero(usable & np.logical_or.reduce([table.present for table in tables.values()]))
    if len(np.unique(examples.emotion[rows])) < 2:
        raise ConfigError(
            f"fit: expected clips of at least two classes to learn from, found {len(rows)} labelled clips that have a stream"
        )
    learnt = examples.subset(rows)
    soft = learnt.distributions(len(data.classes))
    target = (np.eye(len(data.classes))[learnt.emotion] if soft is None else soft).astype(np.float64)
    read = {name: table.rows(rows) for name, table in tables.items()}
    scaling = {name: fit_scaling(table, learnt.weight) for name, table in read.items()}
    crossed = learnt.fold >= 0
    return Lesson(
        learnt,
        target,
        assign_folds(learnt.speaker, learnt.clip_ids, learnt.emotion, folds, seed, learnt.content),
        crossed if crossed.any() else np.ones(len(rows), dtype=bool),
        scaling,
        {name: np.moveaxis(scaling[name].apply(table), 1, 0) for name, table in read.items()},
        {name: table.present for name, table in read.items()},
    )


def learnt_streams(lesson: Lesson, machines: Mapping[str, Machine]) -> LearntStreams:
    """What these machines need of the clips that they learnt from."""
    read = dict.fromkeys(name for machine in machines.values() for name in machine.readings)
    by_likeness = dict.fromkeys(
        name for one in machines.values() if isinstance(one, KernelMachine) for name in one.readings
    )
    return LearntStreams(
        {name: lesson.scaling[name] for name in read},
        {name: lesson.features[name].astype(np.float16) for name in by_likeness},
    )
