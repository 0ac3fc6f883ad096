"""Ensembles as a kind of system: members of any kind, and the fitted combination of their posteriors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import and_
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from mer.ensemble.config import CombinationConfig
from mer.ensemble.ensemble import Ensemble, fit_ensemble
from mer.ensemble.valence import ValenceLabels, class_mean_valence
from mer.errors import UNREADABLE, ConfigError, WeightsError
from mer.posteriors import Posteriors
from mer.stream_tables import Level, LevelTables
from mer.systems.abilities import Abilities
from mer.systems.fitted import FittedSystem, PerStream, SystemAnswers
from mer.systems.kinds import (
    FitData,
    FitRun,
    SystemKind,
    checked_options,
    fit_system,
    load_system,
    system_kind,
)
from mer.whole_files import write_whole

Value = TypeVar("Value")

ENSEMBLE = "ensemble"
RULE_FILE = "ensemble.json"
MEMBERS_FOLDER = "members"
NO_EXPORT = Abilities(warm_start=True, soft_targets=True, missing_streams=True, export=False)
"""A combination is computed outside of its members' graphs."""


class MemberOptions(BaseModel):
    """One member of an ensemble."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str = Field(default="neural", description="Kind of the member.")
    options: dict[str, Any] = Field(
        default_factory=dict, description="Options of its kind that differ from the defaults."
    )


class EnsembleOptions(BaseModel):
    """Members and how they are combined."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    members: dict[str, MemberOptions] = Field(min_length=1, description="Name of a member -> what it is.")
    combination: CombinationConfig = Field(
        default_factory=CombinationConfig, description="How posteriors are combined."
    )


class EnsembleSystem(FittedSystem):
    """Fitted members and the rule that combines their posteriors.

    Args:
        members: name -> fitted system, at least those that the rule reads; members may read different levels and streams.
        rule: the fitted combination.

    Raises:
        ConfigError: a member that the rule reads is absent, or members of different classes.
    """

    kind: ClassVar[str] = ENSEMBLE

    def __init__(self, members: Mapping[str, FittedSystem], rule: Ensemble) -> None:
        if absent := sorted(set(rule.needed) - set(members)):
            raise ConfigError(
                f"ensemble: expected members {', '.join(rule.needed)}, found none named {', '.join(absent)}"
            )
        self.members = {name: members[name] for name in rule.needed}
        self.rule = rule
        if len({member.classes for member in self.members.values()}) > 1:
            classes = {name: list(member.classes) for name, member in self.members.items()}
            raise ConfigError(f"ensemble: expected members of the same classes in one order, found {classes}")

    @property
    def classes(self) -> tuple[str, ...]:
        """Those of every member."""
        return next(iter(self.members.values())).classes

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams that any member reads."""
        return _distinct(member.streams for member in self.members.values())

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels that any member reads."""
        return _distinct(member.levels for member in self.members.values())

    @property
    def abilities(self) -> Abilities:
        """What all members can do, but for export."""
        return reduce(and_, (member.abilities for member in self.members.values()), NO_EXPORT)

    def _answer(self, tables: LevelTables) -> SystemAnswers:
        answers = {name: member.answer(_of_streams(tables, member)) for name, member in self.members.items()}
        posteriors = {name: answer.posteriors for name, answer in answers.items()}
        return SystemAnswers(self.rule.combine(posteriors), self._stream_weights(answers, posteriors))

    def _stream_weights(
        self, answers: Mapping[str, SystemAnswers], posteriors: Mapping[str, Posteriors]
    ) -> PerStream:
        """Mean of the members' stream weights, by how much each member counts for the clip."""
        streams = _distinct(answer.stream_weights.streams for answer in answers.values())
        values = np.zeros((len(next(iter(posteriors.values()))), len(streams)))
        for name, weight in self.rule.member_weights(posteriors).items():
            of_member = answers[name].stream_weights
            columns = [streams.index(stream) for stream in of_member.streams]
            values[:, columns] += weight[:, None] * of_member.values
        return PerStream(streams, values)

    def _write(self, folder: Path) -> None:
        for number, member in enumerate(self.members.values()):  # numbered: names may be no file names
            member.save(folder / MEMBERS_FOLDER / str(number))
        write_whole(folder / RULE_FILE, json.dumps(self.rule.to_json(), indent=1).encode())


class EnsembleKind(SystemKind[EnsembleOptions]):
    """Members fitted one after the other on the same clips, combined by what their validation clips show."""

    name: ClassVar[str] = ENSEMBLE
    options_type = EnsembleOptions

    def levels(self, options: EnsembleOptions) -> tuple[Level, ...]:
        """The levels that any member reads."""
        return _distinct(kind.levels(checked) for kind, checked in _kinds(options).values())

    def abilities(self, options: EnsembleOptions) -> Abilities:
        """What all members can do, but for export."""
        return reduce(
            and_, (kind.abilities(checked) for kind, checked in _kinds(options).values()), NO_EXPORT
        )

    def fit(self, data: FitData, options: EnsembleOptions, run: FitRun) -> EnsembleSystem:
        """Fit every member, then the combination on the validation clips; members that it leaves out are dropped.

        Raises:
            ConfigError: as the members' fits, or a start without one of the members.
        """
        if run.start is not None and not (
            isinstance(run.start, EnsembleSystem) and run.start.members.keys() >= options.members.keys()
        ):
            raise ConfigError(
                f"system of kind {ENSEMBLE!r}: expected a start of its kind with the members {', '.join(options.members)}, "
                "found another; leave out the start, or the members that it lacks"
            )
        members = {
            name: fit_system(
                member.kind, data, member.options, _run_of(run, number, name, len(options.members))
            )
            for number, (name, member) in enumerate(options.members.items())
        }
        validation = [data.examples.clip_ids[row] for row in np.flatnonzero(data.validation)]
        held_out = {
            name: member.posteriors(data.tables).restricted(validation) for name, member in members.items()
        }
        return EnsembleSystem(members, fit_combination(held_out, data, options.combination))

    def load(self, folder: Path) -> EnsembleSystem:
        """See `SystemKind.load`.

        Raises:
            WeightsError: a member or the combination is absent or damaged.
        """
        path = folder / RULE_FILE
        try:
            rule = Ensemble.from_json(json.loads(path.read_text(encoding="utf-8")))
        except UNREADABLE as error:
            raise WeightsError(f"{path}: expected a fitted combination, found none ({error})") from error
        members = {
            name: load_system(folder / MEMBERS_FOLDER / str(number))
            for number, name in enumerate(rule.needed)
        }
        return EnsembleSystem(members, rule)


def fit_combination(held_out: Mapping[str, Posteriors], data: FitData, config: CombinationConfig) -> Ensemble:
    """Fit the combination of members on the validation clips.

    Args:
        held_out: member -> its posteriors of the validation clips, in their order.
        data: what the members were fitted on.
        config: how they are combined.
    """
    examples, train, rows = data.examples, data.train, np.flatnonzero(data.validation)
    means = class_mean_valence(examples.emotion[train], examples.valence[train], len(data.classes))
    return fit_ensemble(
        held_out, examples.emotion[rows], config, ValenceLabels(examples.valence[rows], means)
    )


def _kinds(options: EnsembleOptions) -> dict[str, tuple[SystemKind[Any], Any]]:
    """Member -> its kind and checked options."""
    return {
        name: (kind := system_kind(member.kind), checked_options(kind, member.options))
        for name, member in options.members.items()
    }


def _run_of(run: FitRun, number: int, name: str, count: int) -> FitRun:
    """How the fit of one of `count` members starts, is resumed and is watched."""
    from mer.training.checkpoint import Checkpoint

    checkpoint = run.checkpoint
    if checkpoint is not None:
        checkpoint = Checkpoint(checkpoint.path.with_name(f"member{number}.{checkpoint.path.name}"))
    start = run.start.members[name] if isinstance(run.start, EnsembleSystem) else None
    return replace(run, checkpoint=checkpoint, progress=_share_of(run.progress, number, count), start=start)


def _share_of(
    progress: Callable[[int, int], None] | None, number: int, count: int
) -> Callable[[int, int], None] | None:
    """Steps of one member as steps of all, as if all had as many: they may have more or fewer."""
    if progress is None:
        return None
    return lambda done, total: progress(number * total + done, count * total)


def _of_streams(tables: LevelTables, member: FittedSystem) -> LevelTables:
    """The tables that a member reads."""
    return {
        level: {name: table for name, table in tables[level].items() if name in member.streams}
        for level in member.levels
    }


def _distinct(sequences: Iterable[Sequence[Value]]) -> tuple[Value, ...]:
    """All values, each once, in the order in which they come first."""
    return tuple(dict.fromkeys(value for sequence in sequences for value in sequence))
