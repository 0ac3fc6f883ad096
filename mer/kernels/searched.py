"""The kind `searched`: an ensemble of kernel machines and logistic regressions, chosen by inner folds of what it learns from."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from mer.errors import ConfigError
from mer.kernels.config import SearchedOptions
from mer.kernels.fitted import FittedMachines
from mer.kernels.lesson import learnt_streams, read_lesson
from mer.kernels.saved import load_machines
from mer.kernels.search import Ticks, search_machines, steps
from mer.kernels.states import STATES
from mer.kernels.system import ABILITIES, SearchedSystem
from mer.stream_tables import Level
from mer.systems.abilities import Abilities
from mer.systems.kinds import FitData, FitRun, SystemKind


class SearchedKind(SystemKind[SearchedOptions]):
    """Searched ensembles."""

    name: ClassVar[str] = SearchedSystem.kind
    options_type = SearchedOptions

    def levels(self, options: SearchedOptions) -> tuple[Level, ...]:
        """`states`."""
        return (STATES,)

    def abilities(self, options: SearchedOptions) -> Abilities:
        """All but warm starts and export."""
        return ABILITIES

    def fit(self, data: FitData, options: SearchedOptions, run: FitRun) -> SearchedSystem:
        """Search on the training clips; validation clips are kept out and not read.

        Raises:
            ConfigError: streams that are not there, fewer than two classes, or clips that cannot be divided into folds.
        """
        lesson = read_lesson(data, options.streams, options.folds, options.seed)
        if not lesson.divided:
            raise ConfigError(
                f"system of kind {SearchedSystem.kind!r}: expected clips of different contents to compare candidates on, found "
                f"{len(lesson)} of one; fit a system of kind 'kernel' instead"
            )
        searched = search_machines(lesson, options, Ticks(steps(lesson, options), run.progress))
        return SearchedSystem(
            FittedMachines(
                classes=data.classes,
                known=lesson.known,
                streams=learnt_streams(lesson, searched.machines),
                machines=searched.machines,
                rule=searched.rule,
                figures=searched.figures,
                history=searched.history,
            )
        )

    def load(self, folder: Path) -> SearchedSystem:
        """See `load_machines`."""
        return SearchedSystem(load_machines(folder))
