"""`Fusion`: an estimator of emotion (and valence) on plain arrays, in the manner of scikit-learn."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from mer.errors import ConfigError
from mer.fusion.registry import given_builder
from mer.fusion.system import NEURAL, NeuralSystem
from mer.kernels.states import STATES
from mer.kernels.system import MachineSystem
from mer.library.arrays import same_index
from mer.library.labels import read_classes, read_examples, read_labels
from mer.library.machines import MACHINES, machine_options, model_or_default
from mer.library.options import model_of, options_of
from mer.library.paths import path_of
from mer.library.saved import SavedFusion, load_estimator, save_estimator
from mer.library.streams import SINGLE, averaged_frames, named_streams, stream_tables
from mer.library.validation import given_validation, held_out, speaker_note
from mer.stream_tables import Level, LevelTables, RaggedTable, StreamTable
from mer.systems.fitted import FittedSystem
from mer.systems.kinds import FitData, fit_system


class Fusion:
    """Multimodal fusion of features that are there already.

    Args:
        model: `searched`: kernel machines and logistic regressions, chosen and weighed by inner folds of speakers; `kernel`,
            `linear`: one of them (`mer.kernels.config` has their options). A network by name (`concat`, `attention`, `late`,
            `audio_guided`, ...: see `FusionConfig.model`), or a callable `(FusionShape, FusionConfig) -> FusionModel`, such as a
            subclass of `mer.FusionModel`. None: `searched`; `concat` where options of networks are given.
        level: `frames`: networks that can read framewise streams frame by frame; `utterance`: their mean over time. None: as
            given; models that are no networks read the mean.
        classes: class names in index order (needed for soft labels); None: the labels that occur, sorted.
        validation_share: share of the clips that is held out, in whole speakers, to choose a network's epoch by; in [0, .5].
            Models that are no networks hold out every clip once, in inner folds, and learn from all.
        **options: of a network any field of `FusionConfig`: `epochs`, `hidden`, `learning_rate`, `dropout`, `class_weighting`,
            `seed`, ...; of other models those of `mer.kernels.config`: `folds`, `seed`, `penalties`, ...

    Attributes after `fit`: `classes_` (C,), `streams_` (names), `validation_` (N,) the clips held out, `history_` (losses and
    scores by epoch, or by candidate of a search), `best_epoch_` (from 1; 0 of models without epochs), `fitted_` (the
    `FittedFusion`, or the `FittedMachines` of models that are no networks).

    Equal arguments and `seed` give equal models, bit for bit, on one kind of processor and number of threads.

    Raises:
        ConfigError: no such model or option, or an option out of range.

    Example:
        >>> fusion = mer.Fusion("attention", epochs=50).fit({"acoustic": x, "visual": y}, labels, speakers=speakers)
        >>> fusion.predict_proba({"acoustic": new_x})  # the stream that is not given counts as missing
    """

    def __init__(
        self,
        model: str | Callable[..., Any] | None = None,
        *,
        level: str | None = None,
        classes: Sequence[Any] | None = None,
        validation_share: float = 0.2,
        **options: Any,
    ) -> None:
        self.model, self.level, self.classes = model, level, classes
        self.validation_share, self.options = validation_share, options
        self._check()

    def fit(
        self,
        features: Any,
        labels: Any,
        *,
        speakers: Any = None,
        weights: Any = None,
        valence: Any = None,
        validation: Any = None,
    ) -> Fusion:
        """Learn from the labelled clips; whatever is chosen is chosen on clips of speakers that are held out.

        Args:
            features: stream name -> (N, D) array, or list of N arrays (T_i, D) frame by frame; or one array. A row of NaN, or
                None in a list: the clip lacks the stream.
            labels: (N,) strings or whole numbers, None, "" and -1 are left out; or (N, C) soft labels over `classes`.
            speakers: (N,) who speaks, None where unknown. Without: single clips are held out, and a warning says so.
            weights: (N,) weight of each clip, 0 or more: one of weight 2 counts as if it were there twice.
            valence: (N,) valence of labelled clips, NaN where missing; any scale, the challenges' is [-5, 5].
            validation: (N,) bool, the clips that choose the epoch instead; False: none, the last epoch is kept. Models that are
                no networks do not learn from them.

        Returns:
            This estimator, fitted.

        Raises:
            ConfigError: arguments that do not fit each other; says what was expected and what was found.
            DivergedError: the loss is not finite again and again.

        Example:
            >>> mer.Fusion(epochs=50).fit({"acoustic": x, "visual": [frames_0, None, frames_2]}, ["sad", "", "happy"])
        """
        columns = {"labels": labels, "speakers": speakers, "weights": weights, "valence": valence}
        same_index([*named_streams(features).items(), *columns.items()])
        tables = stream_tables(features)
        read = read_labels(labels, _clips(tables), self.classes)
        if empty := [name for name, table in tables.items() if not table.present[read.known].any()]:
            raise ConfigError(
                f"stream {empty[0]}: expected features of at least one labelled clip, found NaN for all; leave the stream out"
            )
        examples = read_examples(read, speakers, weights, valence)
        usable = read.known & np.logical_or.reduce([table.present for table in tables.values()])
        with self._builder_known():
            level = self._level("frames" if any(map(_is_framewise, tables.values())) else "utterance")
            machine = self._kind != NEURAL
            if validation is not None:
                chosen = given_validation(validation, examples, usable)
            else:
                share = 0.0 if machine else self.validation_share
                chosen = held_out(examples, usable, share, self.seed)
            judging = usable if machine else chosen
            if validation is None and (note := speaker_note(speakers is not None, examples, usable, judging)):
                warnings.warn(note, UserWarning, stacklevel=2)
            names = tuple(map(str, read.classes.tolist()))
            shown = {level: self._read(tables, level)}
            data = FitData(shown, examples, usable & ~chosen, chosen, names)
            system = fit_system(self._kind, data, self._checked_options(level))
        framewise = {name: _is_framewise(table) for name, table in tables.items()}
        self._take(system, read.classes, framewise)
        self.validation_ = chosen
        return self

    def predict(self, features: Any) -> NDArray[Any]:
        """(N,) the most probable class of every clip, as it is called in `classes_`; arguments as for `predict_proba`.

        Example:
            >>> fusion.predict({"acoustic": x})
            array(['happy', 'sad'], dtype='<U5')
        """
        probabilities = self.predict_proba(features)  # first, since it says where nothing is fitted
        return cast(NDArray[Any], self.classes_[probabilities.argmax(axis=1)])

    def predict_proba(self, features: Any) -> NDArray[np.float64]:
        """(N, C) probability of every class in the order of `classes_`; rows sum to 1.

        Args:
            features: as for `fit`, of any clips; a stream that is not given is missing for all of them. A clip without any
                stream gets what the model says of nothing.

        Raises:
            ConfigError: not fitted; other streams, widths or kinds of streams than fitted on.

        Example:
            >>> fusion.predict_proba({"acoustic": x}).sum(axis=1)
            array([1., 1.])
        """
        tables = self._tables(features)
        with self._builder_known():
            return self._system.posteriors(tables).probabilities()

    def predict_valence(self, features: Any) -> NDArray[np.float64]:
        """(N,) valence of every clip, on the scale that it was fitted on; arguments as for `predict_proba`.

        Raises:
            ConfigError: not fitted, or fitted without valence.

        Example:
            >>> mer.Fusion().fit(x, labels, speakers=speakers, valence=valence).predict_valence(x)
            array([-1.2,  0.4])
        """
        tables = self._tables(features)
        if not self.predicts_valence:
            raise ConfigError(
                "predict_valence: expected a fusion fitted with `valence=`, found one fitted without"
            )
        with self._builder_known():
            return self._system.posteriors(tables).valence.astype(np.float64)

    def stream_weights(self, features: Any) -> dict[str, NDArray[np.float64]]:
        """Stream name -> (N,) how much the stream entered each clip's result, as the model has it; 0 where missing.

        Models of attention weigh clip by clip (`attention`: not normalised); others share evenly among the streams that are
        there. Arguments and errors as for `predict_proba`.

        Example:
            >>> fusion.stream_weights({"acoustic": x, "visual": y})["visual"].mean()
            0.31
        """
        tables = self._tables(features)
        with self._builder_known():
            weights = self._system.stream_weights(tables)
        return {name: weights.values[:, number] for number, name in enumerate(weights.streams)}

    def score(self, features: Any, labels: Any) -> float:
        """Accuracy on labelled clips; `mer.score` gives more scores, and intervals.

        Example:
            >>> fusion.score({"acoustic": x}, labels)
            0.71
        """
        from mer.library.scoring import score

        return score(labels, self.predict(features)).accuracy

    def save(self, folder: str | Path) -> Path:
        """Write the fitted model into `folder`, made if absent: `fusion.json`, and `fusion.safetensors` of a network or the
        folder `system` of any other model; returns the folder.

        Example:
            >>> fusion.save("my_fusion")
            >>> mer.Fusion.load("my_fusion").predict_proba(features)  # bit for bit the same
        """
        self._require_fitted()
        record = SavedFusion(
            classes=self.classes_.tolist(),
            framewise=self._framewise,
            builder=callable(self.model),
            validation_share=self.validation_share,
            options=self._checked_options("utterance").model_dump(mode="json", exclude_defaults=True)
            if self._kind != NEURAL
            else {},
        )
        return save_estimator(path_of("folder", folder), self._system, record)

    @classmethod
    def load(cls, folder: str | Path, model: Callable[..., Any] | None = None) -> Fusion:
        """Read back what `save` wrote.

        Args:
            folder: of `save`.
            model: the callable that the fusion was made with, where it was made with one: code is not saved.

        Raises:
            WeightsError: no such files, or damaged ones.
            ConfigError: `model` is missing, or another one than it was saved with.

        Example:
            >>> mer.Fusion.load("my_fusion").predict(features)
        """
        system, record = load_estimator(path_of("folder", folder), model)
        level, options = None, record.options
        if isinstance(system, NeuralSystem):
            level = system.fitted.config.level
            options = system.fitted.config.model_dump(exclude_defaults=True, exclude={"model", "level"})
        fusion = cls(
            model or record.model,
            level=level,
            classes=record.classes,
            validation_share=record.validation_share,
            **options,
        )
        fusion._take(system, np.array(record.classes), record.framewise)
        return fusion

    @property
    def seed(self) -> int:
        """Seed of whatever is drawn, and of which speakers are held out."""
        with self._builder_known():
            seed: int = getattr(self._checked_options("utterance"), "seed")  # noqa: B009
        return seed

    @property
    def holds_out(self) -> bool:
        """Whether `fit` holds out validation clips that it does not learn from; models that are no networks learn from all."""
        return self._kind == NEURAL

    @property
    def predicts_valence(self) -> bool:
        """Whether the fitted model answers valence."""
        self._require_fitted()
        return bool(self.fitted_.predicts_valence)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments, as scikit-learn's `clone` and searches want them.

        Example:
            >>> mer.Fusion(epochs=5).get_params()["epochs"]
            5
        """
        named = ("model", "level", "classes", "validation_share")
        return {name: getattr(self, name) for name in named} | self.options

    def set_params(self, **params: Any) -> Fusion:
        """Change arguments of the constructor; what was fitted stays until the next `fit`.

        Example:
            >>> mer.Fusion().set_params(epochs=5, model="late")
        """
        changed = self.get_params() | params
        Fusion(**changed)  # refused before anything is changed
        for name in ("model", "level", "classes", "validation_share"):
            setattr(self, name, changed.pop(name))
        self.options = changed
        return self

    def __repr__(self) -> str:
        said = {**self.get_params(), "model": model_of(self._model)[0]}
        defaults = {"level": None, "classes": None, "validation_share": 0.2}
        shown = [f"{name}={value!r}" for name, value in said.items() if defaults.get(name, ...) != value]
        return f"Fusion({', '.join(shown)})"

    def _check(self) -> None:
        share: Any = self.validation_share
        if not isinstance(share, (int, float)) or not 0 <= share <= 0.5:
            raise ConfigError(f"validation_share: expected a value in [0, .5], found {share!r}")
        if self.classes is not None:
            read_classes(self.classes)
        with self._builder_known():
            self._checked_options("utterance")

    @property
    def _model(self) -> str | Callable[..., Any]:
        return model_or_default(self.model, self.level, self.options)

    @property
    def _kind(self) -> str:
        """Kind of the system that this is."""
        return self._model if isinstance(self._model, str) and self._model in MACHINES else NEURAL

    def _level(self, found: str) -> Level:
        return STATES if self._kind != NEURAL else cast(Level, self.level or found)

    def _checked_options(self, found: str) -> BaseModel:
        if self._kind != NEURAL:
            return machine_options(self._kind, self.level, self.options)
        return options_of(model_of(self._model)[0], self.level or found, self.options)

    @contextmanager
    def _builder_known(self) -> Iterator[None]:
        name, builder = model_of(self._model)
        if builder is None:
            yield
            return
        with given_builder(name, builder):
            yield

    def _read(self, tables: Mapping[str, StreamTable], level: Level) -> Mapping[str, StreamTable]:
        if level == "frames":
            return tables
        return {name: averaged_frames(table) for name, table in tables.items()}

    def _take(self, system: FittedSystem, classes: NDArray[Any], framewise: Mapping[str, bool]) -> None:
        if not isinstance(system, NeuralSystem | MachineSystem):
            raise ConfigError(
                f"Fusion: expected a network or machines, found a system of kind {system.kind!r}"
            )
        self._system, self.fitted_ = system, system.fitted
        self.classes_, self._framewise = classes, dict(framewise)
        self.streams_ = tuple(framewise)
        self.history_ = system.history
        self.best_epoch_ = int(system.figures.get("best_epoch", 0))

    def _require_fitted(self) -> None:
        if not hasattr(self, "fitted_"):
            raise ConfigError(
                "Fusion: expected a fitted fusion, found one without parameters; call `fit` first"
            )

    def _tables(self, features: Any) -> LevelTables:
        self._require_fitted()
        single = self.streams_[0] if len(self.streams_) == 1 else SINGLE
        tables = stream_tables(features, single)
        if unknown := [name for name in tables if name not in self._framewise]:
            raise ConfigError(
                f"features: expected streams {', '.join(self.streams_)}, found also {', '.join(unknown)}"
            )
        for name, table in tables.items():
            if self._framewise[name] != _is_framewise(table):
                kinds = ("vectors (clips, features)", "frames, a list of arrays")
                expected, found = kinds if _is_framewise(table) else kinds[::-1]
                raise ConfigError(f"stream {name}: expected {expected}, as it was fitted on, found {found}")
        (level,) = self._system.levels
        return {level: self._read(tables, level)}


def _is_framewise(table: StreamTable) -> bool:
    return isinstance(table, RaggedTable)


def _clips(tables: Mapping[str, StreamTable]) -> int:
    return len(next(iter(tables.values())).clip_ids)
