"""The clips that a kernel or linear system learns from: standardised streams, targets, weights and inner folds."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError
from mer.examples import Examples
from mer.kernels.fitted import LearntStreams
from mer.kernels.machines import KernelMachine, Machine, Reading
from mer.kernels.states import STATES, Floats, Scaling, StateTable, fit_scaling, state_tables, variants_of
from mer.systems.kinds import FitData
from mer.training.folds import assign_folds

LARGEST = 8000
"""Rows (clips times variants) up to which kernel machines are solved exactly; the one rule where there are more: all variants are
learnt from only where they are no more than these, and more clips than these are learnt through `LANDMARKS` of them."""
LANDMARKS = 4000


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
    """(N,) clips by which choices are judged: those of the cross-validation (`Examples.fold`) where several inner folds have
    some, since what else is learnt from, as pseudo-labels are, is not known to be true."""
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

    @property
    def may_vary(self) -> bool:
        """Whether kernel machines can learn from all variants."""
        return self.variants > 1 and self.variants * len(self) <= LARGEST

    @cached_property
    def kept(self) -> NDArray[np.int64]:
        """Rows of the clips to which kernel machines compare others: all, or the landmarks."""
        return np.arange(len(self)) if len(self) <= LARGEST else self.spread(LANDMARKS)

    def spread(self, most: int) -> NDArray[np.int64]:
        """Rows of all clips, or of `most` of them: judged ones first, even over folds and classes."""
        if len(self) <= most:
            return np.arange(len(self))
        key = np.lexsort((self.examples.emotion, self.fold))  # neighbours are of one fold and class

        def even(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
            return rows[np.linspace(0, len(rows) - 1, count).round().astype(np.int64)] if count else rows[:0]

        judged, others = key[self.judged[key]], key[~self.judged[key]]
        first = even(judged, min(most, len(judged)))
        return np.sort(np.concatenate([first, even(others, min(most - len(first), len(others)))]))

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
        streams: names of the streams to read; none: all. One that none of the clips has is left out.
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
    # of a stream that no clip has nothing is known, not even its width
    tables = {name: table for name, table in tables.items() if table.present[rows].any()}
    learnt = examples.subset(rows)
    soft = learnt.distributions(len(data.classes))
    target = (np.eye(len(data.classes))[learnt.emotion] if soft is None else soft).astype(np.float64)
    read = {name: table.rows(rows) for name, table in tables.items()}
    scaling = {name: fit_scaling(table, learnt.weight) for name, table in read.items()}
    if (
        variants_of(read) * len(rows) > LARGEST
    ):  # further variants are left out, also where fewer clips are compared
        read = {name: StateTable(table.values[:, :1], table.present) for name, table in read.items()}
    crossed = learnt.fold >= 0
    everyone = np.ones(len(rows), dtype=bool)
    fold = inner_folds(learnt, crossed if crossed.any() else everyone, folds, seed)
    if (
        len(np.unique(fold[crossed])) < 2
    ):  # one speaker alone has true labels: nothing could be weighed on one part of them
        crossed = everyone
        fold = inner_folds(learnt, crossed, folds, seed)
    return Lesson(
        learnt,
        target,
        fold,
        crossed,
        scaling,
        {name: np.moveaxis(scaling[name].apply(table), 1, 0) for name, table in read.items()},
        {name: table.present for name, table in read.items()},
    )


def inner_folds(learnt: Examples, judged: NDArray[np.bool_], folds: int, seed: int) -> NDArray[np.int64]:
    """(N,) inner fold of clips, whole speakers and equal contents each; the judged clips are dealt evenly by themselves.

    Dealt all together, a few large speakers of pseudo-labelled clips could leave one fold to all the clips that choices are
    judged by. A clip that is not judged follows the judged ones of its speaker or content.
    """
    speakers = {learnt.speaker[row] for row in np.flatnonzero(judged)}
    if judged.all() or (len(speakers) == 1 and None not in speakers):
        return assign_folds(learnt.speaker, learnt.clip_ids, learnt.emotion, folds, seed, learnt.content)
    rows = np.flatnonzero(judged)
    seen = learnt.subset(rows)
    fold = np.full(len(learnt), -1, dtype=np.int64)
    fold[rows] = assign_folds(seen.speaker, seen.clip_ids, seen.emotion, folds, seed, seen.content)
    of_speaker = {learnt.speaker[row]: fold[row] for row in rows if learnt.speaker[row] is not None}
    of_content = {learnt.content_of(int(row)): fold[row] for row in rows}
    for row in np.flatnonzero(~judged):
        same = of_content.get(learnt.content_of(int(row)), -1) if learnt.content_of(int(row)) else -1
        fold[row] = of_speaker.get(learnt.speaker[row], same)
    others, count = np.flatnonzero(fold < 0), int(fold.max()) + 1
    if len(others) < 2 or count < 2:
        fold[others] = 0
        return fold
    rest = learnt.subset(others)
    fold[others] = assign_folds(rest.speaker, rest.clip_ids, rest.emotion, count, seed, rest.content)
    return fold


def learnt_streams(lesson: Lesson, machines: Mapping[str, Machine]) -> LearntStreams:
    """What these machines need of the clips that they learnt from."""
    read = dict.fromkeys(name for machine in machines.values() for name in machine.readings)
    windows: dict[str, list[Reading]] = {}
    for machine in machines.values():
        if isinstance(machine, KernelMachine):
            for name, one in machine.readings.items():
                windows.setdefault(name, []).append(one)
    first = {name: min(one.first for one in every) for name, every in windows.items()}
    end = {name: max(one.last for one in every) + 1 for name, every in windows.items()}
    variants = lesson.variants if any(machine.varied for machine in machines.values()) else 1
    return LearntStreams(
        {name: lesson.scaling[name] for name in read},
        {
            name: lesson.features[name][:variants, lesson.kept, first[name] : end[name]].astype(np.float16)
            for name in windows
        },
        first,
    )
