"""Neural fusions as a kind of system: `mer.fusion.fit` behind the one contract.

`FusionModel` stays the interface of the networks; this is what a trained one of them is to everything above.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from mer.errors import ConfigError
from mer.fusion.choice import fit_chosen
from mer.fusion.config import FusionConfig
from mer.fusion.fit import FusionResumable, answer_fusion
from mer.fusion.fitted import FittedFusion, load_fusion, save_fusion
from mer.fusion.interface import FusionModel
from mer.fusion.registry import MODELS
from mer.fusion.windows import STATISTICS
from mer.stream_tables import Level, LevelTables
from mer.systems.abilities import Abilities
from mer.systems.fitted import FittedSystem, PerStream, SystemAnswers
from mer.systems.kinds import FitData, FitRun, SystemKind

NEURAL = "neural"


def neural_abilities(model: str) -> Abilities:
    """Those of every fusion model; whether one of an installed package can be exported is not known, so it is said to be not."""
    return Abilities(warm_start=True, soft_targets=True, missing_streams=True, export=model in MODELS)


class NeuralSystem(FittedSystem):
    """A trained fusion model.

    Args:
        fitted: parameters, standardisation and options.
    """

    kind: ClassVar[str] = NEURAL

    def __init__(self, fitted: FittedFusion) -> None:
        self.fitted = fitted

    @property
    def classes(self) -> tuple[str, ...]:
        """See `FittedSystem.classes`."""
        return self.fitted.classes

    @property
    def streams(self) -> tuple[str, ...]:
        """The model's streams, but for statistics of frames, which it makes itself."""
        widths = self.fitted.widths
        made = {f"{name}/{STATISTICS}" for name in widths} if self.fitted.config.frame_statistics else set()
        return tuple(name for name in widths if name not in made)

    @property
    def levels(self) -> tuple[Level, ...]:
        """The one of its options."""
        return (self.fitted.config.level,)

    @property
    def abilities(self) -> Abilities:
        """See `neural_abilities`."""
        return neural_abilities(self.fitted.config.model)

    @property
    def figures(self) -> Mapping[str, float]:
        """The epoch that was kept, and its score on the validation clips (NaN without any)."""
        return {"validation_waf": self.fitted.best_score, "best_epoch": float(self.fitted.best_epoch)}

    @property
    def history(self) -> Sequence[Mapping[str, float]]:
        """Losses and validation scores of every epoch."""
        return self.fitted.history

    def _answer(self, tables: LevelTables) -> SystemAnswers:
        answers = answer_fusion(self.fitted, tables[self.fitted.config.level], self._model)
        weights = answers.stream_weights.astype(np.float64)
        return SystemAnswers(answers.posteriors, PerStream(tuple(self.fitted.widths), weights))

    def _write(self, folder: Path) -> None:
        save_fusion(folder, self.fitted)

    @cached_property
    def _model(self) -> FusionModel:
        return self.fitted.model()


class NeuralKind(SystemKind[FusionConfig]):
    """Fusion models trained by gradient descent; the options name the model."""

    name: ClassVar[str] = NEURAL
    options_type = FusionConfig

    def levels(self, options: FusionConfig) -> tuple[Level, ...]:
        """The one of the options."""
        return (options.level,)

    def abilities(self, options: FusionConfig) -> Abilities:
        """See `neural_abilities`."""
        return neural_abilities(options.model)

    def fit(self, data: FitData, options: FusionConfig, run: FitRun) -> NeuralSystem:
        """See `fit_chosen`.

        Raises:
            ConfigError: as `fit_fusion`, or a start that is no neural system.
        """
        if run.start is not None and not isinstance(run.start, NeuralSystem):
            raise ConfigError(
                f"system of kind {NEURAL!r}: expected a system of its kind to start from, found one of kind "
                f"{run.start.kind!r}"
            )
        fitted = fit_chosen(
            data.tables[options.level],
            data.examples,
            data.train,
            data.validation,
            data.classes,
            options,
            FusionResumable(
                run.checkpoint, run.progress, start=None if run.start is None else run.start.fitted
            ),
        )
        return NeuralSystem(fitted)

    def load(self, folder: Path) -> NeuralSystem:
        """See `load_fusion`; also reads folders of 0.1.0 and 0.2.0, which have no record."""
        return NeuralSystem(load_fusion(folder))
