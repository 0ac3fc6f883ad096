"""The kinds of systems: fitting by name, and loading what any of them saved. Imports no kind before it is used."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from mer.errors import ConfigError, WeightsError
from mer.examples import Examples
from mer.implementations import Implementations
from mer.stream_tables import Level, LevelTables
from mer.systems.abilities import Abilities, require_abilities
from mer.systems.fitted import FittedSystem, check_tables, missing_streams
from mer.systems.record import recorded_kind
from mer.training.resumable import Resumable

KINDS = Implementations(
    {
        "neural": "mer.fusion.system:NeuralKind",
        "ensemble": "mer.ensemble.system:EnsembleKind",
        "kernel": "mer.kernels.single:KernelKind",
        "linear": "mer.kernels.single:LinearKind",
        "searched": "mer.kernels.searched:SearchedKind",
    }
)
"""Name of a kind -> its class."""

Options = TypeVar("Options", bound=BaseModel)


@dataclass(frozen=True)
class FitData:
    """What a system is fitted on.

    Raises:
        ConfigError: masks of another length than the examples, or clips that are in both.
    """

    tables: LevelTables
    """Streams of N clips, clips as in `examples`."""
    examples: Examples
    """Hard or soft labels, valence, weights and groups (`speaker`, `content`) of the N clips; -1 and NaN are not learnt from."""
    train: NDArray[np.bool_]
    """(N,) clips to learn from."""
    validation: NDArray[np.bool_]
    """(N,) clips, of other groups, by which epochs, temperatures and weights are chosen; there may be none."""
    classes: tuple[str, ...]
    """Class names in index order."""

    def __post_init__(self) -> None:
        count = len(self.examples)
        if self.train.shape != (count,) or self.validation.shape != (count,):
            raise ConfigError(
                f"fit: expected masks of {count} clips, found {self.train.shape} and {self.validation.shape}"
            )
        if both := int((self.train & self.validation).sum()):
            raise ConfigError(
                f"fit: expected validation clips apart from training clips, found {both} clips in both"
            )


@dataclass(frozen=True)
class FitRun(Resumable):
    """How a fit is resumed and watched, and where it starts when there is no checkpoint.

    A checkpoint of other inputs is ignored. Progress counts whatever steps the kind has; done / all never falls.
    """

    start: FittedSystem | None = None
    """System of the same kind and structure that the fit starts from; none: from scratch."""


class SystemKind(ABC, Generic[Options]):
    """A way to fit systems. A subclass has no state; call it through `fit_system` and `load_system`."""

    name: ClassVar[str]
    """Its name in `KINDS`."""
    options_type: type[Options]
    """Frozen options of a fit."""

    @abstractmethod
    def levels(self, options: Options) -> tuple[Level, ...]:
        """Levels of the tables that a system of these options reads."""

    @abstractmethod
    def abilities(self, options: Options) -> Abilities:
        """What a system of these options can do."""

    @abstractmethod
    def fit(self, data: FitData, options: Options, run: FitRun) -> FittedSystem:
        """Fit on data that `fit_system` has checked against the abilities."""

    @abstractmethod
    def load(self, folder: Path) -> FittedSystem:
        """Read back what the fitted system's `save` wrote, bit for bit."""


def system_kind(name: str) -> SystemKind[Any]:
    """The kind of this name.

    Raises:
        ConfigError: no such kind.
    """
    if name not in KINDS:
        raise ConfigError(f"system: expected a kind of {', '.join(KINDS)}, found {name!r}")
    kind: SystemKind[Any] = KINDS.load(name)()
    return kind


def kind_implementations(*names: str) -> tuple[str, ...]:
    """`module:attribute` of these kinds; nothing for a name that is none."""
    return tuple(KINDS[name] for name in names if name in KINDS)


def fit_system(
    kind: str, data: FitData, options: BaseModel | Mapping[str, Any], run: FitRun | None = None
) -> FittedSystem:
    """Fit a system of a kind.

    Args:
        kind: name of the kind.
        data: what it is fitted on.
        options: those of the kind, or values for them.
        run: start, checkpoint and progress; none: from scratch.

    Raises:
        ConfigError: no such kind, options that cannot work, tables that do not fit the examples, or a start, soft targets or
            missing streams that the kind cannot use.
    """
    implementation = system_kind(kind)
    checked = checked_options(implementation, options)
    run = run or FitRun()
    tables = {level: data.tables.get(level, {}) for level in implementation.levels(checked)}
    clip_ids = check_tables(tables, tuple(tables))
    if clip_ids != data.examples.clip_ids:
        raise ConfigError(
            f"fit: expected tables of the {len(data.examples)} clips of the examples in their order, found "
            f"{len(clip_ids)} others"
        )
    require_abilities(kind, implementation.abilities(checked), _needed(data, tables, run))
    return implementation.fit(data, checked, run)


def load_system(folder: Path) -> FittedSystem:
    """The system that was saved in `folder`, of whatever kind.

    Raises:
        WeightsError: no saved system, one of an unknown kind, or files that are not as they were written.
    """
    name = recorded_kind(folder)
    if name not in KINDS:
        raise WeightsError(
            f"{folder}: expected a system of kind {', '.join(KINDS)}, found {name!r}; a newer version of this package may "
            "have saved it"
        )
    loaded: FittedSystem = system_kind(name).load(folder)
    return loaded


def checked_options(kind: SystemKind[Any], options: BaseModel | Mapping[str, Any]) -> BaseModel:
    """Options of a kind, of its own type.

    Raises:
        ConfigError: options of another type, or values that cannot work.
    """
    if isinstance(options, BaseModel):
        if type(options) is kind.options_type:
            return options
        raise ConfigError(
            f"system of kind {kind.name!r}: expected {kind.options_type.__name__}, found {type(options).__name__}"
        )
    try:
        checked: BaseModel = kind.options_type.model_validate(options)
    except ValidationError as error:
        raise ConfigError(f"system of kind {kind.name!r}: {error}") from error
    return checked


def _needed(data: FitData, tables: LevelTables, run: FitRun) -> dict[str, str]:
    """Abilities that this fit needs, each with what needs it."""
    needed: dict[str, str] = {}
    if run.start is not None:
        needed["warm_start"] = f"a fitted system of kind {run.start.kind!r} to start from"
    if data.examples.distributions(len(data.classes)) is not None:
        needed["soft_targets"] = "targets that are distributions"
    if missing := missing_streams(tables):
        needed["missing_streams"] = missing
    return needed
