"""A trained model version: files in, answers out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError, MediaError
from mer.library.clip_files import clips_of, weights_cache
from mer.library.paths import path_of
from mer.library.saved import RECORD as FUSION_RECORD
from mer.library.sources import registered_model
from mer.library.streams import stream_tables
from mer.media.probe import probe
from mer.predictions import Prediction
from mer.predictor.package import RECORD, ModelPackage
from mer.predictor.predictor import Predictor, served_system


def load_model(
    name_or_folder: str | Path, version: int | None = None, *, cache: str | Path | None = None
) -> Model:
    """A trained model: a package folder, or a registered model by name.

    Args:
        name_or_folder: folder with a `package.json`, or the name of a model (`mer models` lists those of the catalogue).
        version: of a registered model; None: the champion.
        cache: folder of converted weights; None: the registry's own, or `~/.cache/mer/weights`.

    Raises:
        ConfigError: no such folder and no such model; says where it was looked for.

    Example:
        >>> model = mer.load_model("demo")
        >>> [(answer.name, answer.discrete, answer.confidence) for answer in model.predict(["clip.mp4"])]
    """
    folder = path_of("model", name_or_folder)
    if (folder / RECORD).is_file():
        if version is not None:
            raise ConfigError(f"version: expected none for a package folder, found {version}")
        return Model(folder, weights_cache(cache))
    if not isinstance(name_or_folder, str) or folder.is_dir():
        hint = "; mer.Fusion.load reads what is there" if (folder / FUSION_RECORD).is_file() else ""
        raise ConfigError(
            f"model: expected a package folder with {RECORD}, found none at {name_or_folder}{hint}"
        )
    found = registered_model(name_or_folder, version)
    return Model(found.folder, found.weights if cache is None else weights_cache(cache), found.version)


class Model:
    """A model version in memory; encoders are loaded at the first prediction of files.

    Args:
        folder: package folder.
        weights: folder of converted weights.
    """

    def __init__(self, folder: Path, weights: Path, version: int | None = None) -> None:
        self.folder = folder
        self.version = version
        """Number of the registered version; None where that is not known."""
        self.package = ModelPackage.read(folder)
        """Recipe, temperature and what else the package says of itself."""
        self._weights = weights
        self._predictor: Predictor | None = None

    @property
    def emotions(self) -> tuple[str, ...]:
        """(C,) class names in index order."""
        return tuple(self.package.recipe.emotions)

    def predict(self, files: Any) -> list[Prediction]:
        """Answers in the order of the files.

        A file that cannot be used has its reason as `status`, and no answer; the others are answered.

        Args:
            files: paths of media files, or a table of `mer.read_clips` (its transcripts are used).

        Raises:
            ConfigError: paths without a file.

        Example:
            >>> model.predict(["a.mp4", "b.wav"])[0].discrete
            'happy'
        """
        clips = clips_of(files)
        refused: dict[int, Prediction] = {}
        for row, clip in enumerate(clips):
            try:
                if clip.path.is_file():  # of a corpus of features alone there is no media
                    probe(clip.path)
            except MediaError as error:
                refused[row] = Prediction(
                    name=clip.name,
                    path=str(clip.path),
                    status=error.reason,
                    model=self.package.recipe.name,
                    version=self.version,
                )
        if self._predictor is None:
            self._predictor = Predictor(self.folder, self._weights, self.version)
        usable = [clip for row, clip in enumerate(clips) if row not in refused]
        answers = iter(self._predictor.predict(usable) if usable else ())
        return [refused[row] if row in refused else next(answers) for row in range(len(clips))]

    def predict_features(self, features: Any) -> NDArray[np.float64]:
        """(N, C) calibrated posteriors in the order of `emotions`, of features that were extracted before; rows sum to 1.

        Args:
            features: stream name -> (N, D) array, or list of arrays (T_i, D) where a fusion was trained on frames; as for
                `mer.Fusion.fit`. A stream that is not given is missing.

        Raises:
            ConfigError: streams or widths other than the package's fusions were trained on; says which these are.

        Example:
            >>> model.predict_features({"acoustic": x}).argmax(axis=1)
        """
        tables = stream_tables(features)
        system = served_system(self.package, self.folder)
        if unknown := sorted(set(tables) - set(system.streams)):
            raise ConfigError(
                f"model {self.package.recipe.name}: expected streams {', '.join(system.streams)}, found also {', '.join(unknown)}"
            )
        posteriors = system.posteriors(dict.fromkeys(system.levels, tables))
        return posteriors.probabilities(self.package.temperature)
