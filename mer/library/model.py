"""A trained model version: files in, answers out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mer.clips import Clip
from mer.conformal.policy import AnswerPolicy
from mer.errors import ConfigError, MediaError, QuarantineReason
from mer.library.clip_files import clips_of, row_names, weights_cache
from mer.library.given_features import given_posteriors
from mer.library.paths import path_of
from mer.library.saved import RECORD as FUSION_RECORD
from mer.library.sources import registered_model
from mer.library.spoken import spoken_clips
from mer.media.contained import shared_media
from mer.media.failures import failures_of
from mer.predictions import Prediction
from mer.predictor.package import RECORD
from mer.predictor.predictor import Predictor

if TYPE_CHECKING:
    import pandas


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
    registered = registered_model(name_or_folder, version)
    cached = registered.weights if cache is None else weights_cache(cache)
    return Model(registered.folder, cached, registered.version, name_or_folder)


class Model:
    """A model version in memory; encoders are loaded at the first prediction of files.

    Args:
        folder: package folder.
        weights: folder of converted weights.
        version: number of the registered version; None: it is not registered.
        name: that it is registered under; empty: the recipe's.
    """

    def __init__(self, folder: Path, weights: Path, version: int | None = None, name: str = "") -> None:
        self.folder, self.version = folder, version
        self.predictor = Predictor(folder, weights, version)
        self.package = self.predictor.package
        """Recipe, temperature and what else the package says of itself."""
        self.name = name or self.package.recipe.name
        """What answers call it."""

    def __repr__(self) -> str:
        numbered = "" if self.version is None else f", version {self.version}"
        return f"<Model {self.name}{numbered}: {', '.join(self.streams)} -> {', '.join(self.emotions)}>"

    @property
    def emotions(self) -> tuple[str, ...]:
        """(C,) class names in index order."""
        return tuple(self.package.recipe.emotions)

    @property
    def streams(self) -> tuple[str, ...]:
        """Streams that it reads."""
        return self.predictor.system.streams

    def predict(
        self, files: Any, transcripts: Any = None, policy: AnswerPolicy | None = None
    ) -> list[Prediction]:
        """Predictions in the order of the files; one that cannot be read has a `status` that says why, and no answer.

        Args:
            files: paths of media files, or a table of `mer.read_clips` (its transcripts are used).
            transcripts: what is spoken in them: a list of texts (None: not known), a mapping from name or path to text, or the
                path of a table of these (.csv, .tsv, .parquet, .jsonl). They come before those of the table of clips. A clip
                without either has the words of the text file beside it (`a.txt` beside `a.mp4`); else the model's recogniser
                listens, if it has one.
            policy: when clips are answered at all, and with which sets of classes (`mer.AnswerPolicy(coverage=.9)`); what it
                leaves open, or None, the model's recipe says.

        Raises:
            ConfigError: paths without a file, as many texts as there are not clips, or a coverage or risk that the model cannot
                promise.
            CorpusError: a table of texts that cannot be read.

        Example:
            >>> model.predict(["a.mp4", "b.wav"])[0].discrete
            'happy'
        """
        clips = spoken_clips(clips_of(files), transcripts)
        unusable = {row: reason for row, clip in enumerate(clips) if (reason := _unusable(clip)) is not None}
        usable = [clip for row, clip in enumerate(clips) if row not in unusable]
        asked = self.package.recipe.answers.overridden(policy or AnswerPolicy())
        answers = iter(self.predictor.under_policy(self.predictor.predict(usable) if usable else (), asked))
        model, version = self.name, self.version
        return [
            Prediction(name=name, path=str(clip.path), status=unusable[row], model=model, version=version)
            if row in unusable
            else next(answers).model_copy(update={"name": name, "model": model})
            for row, (name, clip) in enumerate(zip(row_names(clips), clips, strict=True))
        ]

    def explain(self, files: Any, transcripts: Any = None) -> pandas.DataFrame:
        """What each stream weighs in the answers for files, and what the answers lose without it; one more pass a stream.

        Args:
            files: as for `predict`; files that cannot be read have no row.
            transcripts: as for `predict`.

        Returns:
            A row a clip, indexed by its name: `discrete`, `confidence`, for every stream `weight_<stream>` (on the scale of the
            model) and `lost_<stream>` (probability that the answer loses where the stream is masked; 0 where the clip lacks it).

        Raises:
            ConfigError: paths without a file, or no file that can be read.

        Example:
            >>> model.explain(["a.mp4", "b.mp4"]).filter(like="lost_").mean()
        """
        import pandas

        spoken = spoken_clips(clips_of(files), transcripts)
        clips = [clip for clip in spoken if _unusable(clip) is None]
        if not clips:
            raise ConfigError("explain: expected at least one file that can be read, found none")
        explained = self.predictor.explain(clips)
        columns: dict[str, Any] = {
            "discrete": [self.emotions[row] for row in explained.answer],
            "confidence": explained.confidence,
        }
        for prefix, measured in (("weight", explained.stream_weights), ("lost", explained.confidence_lost)):
            if measured is not None:
                columns |= {
                    f"{prefix}_{stream}": measured.values[:, column]
                    for column, stream in enumerate(measured.streams)
                }
        return pandas.DataFrame(columns, index=pandas.Index(row_names(clips), name="name"))

    def predict_features(self, features: Any) -> NDArray[np.float64]:
        """(N, C) calibrated posteriors in the order of `emotions`, of features that were extracted before; rows sum to 1.

        Args:
            features: stream name -> (N, D) array, or list of arrays (T_i, D) where the model was trained on frames; as for
                `mer.Fusion.fit`. A stream that is not given is missing.

        Raises:
            ConfigError: streams or widths other than the model was trained on.

        Example:
            >>> model.predict_features({"acoustic": x}).argmax(axis=1)
        """
        posteriors = given_posteriors(self.predictor.system, features)
        return posteriors.probabilities(self.package.temperature)


def _unusable(clip: Clip) -> QuarantineReason | None:
    """Why the clip's media cannot be read; None where it can, or where the clip is of feature files alone."""
    if not clip.content:
        return None
    try:
        with failures_of(clip.name):
            shared_media().probe(clip.path)
    except MediaError as error:
        return error.reason
    return None
