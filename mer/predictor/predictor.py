"""The served model: clips in, calibrated posteriors out. Holds all encoders in memory; knows no store and no flow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mer.clips import Clip
from mer.fusion.fit import predict_fusion
from mer.fusion.fitted import FittedFusion, load_fusion
from mer.fusion.streams import StreamTable
from mer.posteriors import Posteriors
from mer.predictor.package import ModelPackage
from mer.predictor.reading import StreamReader

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Prediction:
    """One clip's answer."""

    name: str
    discrete: str
    valence: float
    confidence: float
    """Calibrated probability of the answer."""


@dataclass(frozen=True)
class Scores:
    """What a model version says about N clips."""

    logits: NDArray[np.float64]
    """(N, C) at the temperature that is served: their softmax is the calibrated posterior."""
    valence: NDArray[np.float32]
    """(N,)"""


class Predictor:
    """A model version in memory.

    Args:
        folder: package folder (see `mer.predictor.package`).
        weights: cache folder of encoder weights.
    """

    def __init__(self, folder: Path, weights: Path) -> None:
        self.package = ModelPackage.read(folder)
        self._fusions: dict[str, FittedFusion] = {
            name: load_fusion(folder / subfolder) for name, subfolder in self.package.fusion_folders.items()
        }
        self._reader = StreamReader(self.package, folder, weights)

    def predict(
        self, clips: Sequence[Clip], progress: Progress | None = None, batch_clips: int = 64
    ) -> list[Prediction]:
        """Predictions in the order of `clips`; `progress(done, total)` is called after every batch."""
        return self.answers(clips, self.scores(clips, progress, batch_clips))

    def scores(
        self, clips: Sequence[Clip], progress: Progress | None = None, batch_clips: int = 64
    ) -> Scores:
        """Calibrated scores in the order of `clips`."""
        logits = np.zeros((len(clips), len(self.package.recipe.emotions)))
        valence = np.zeros(len(clips), dtype=np.float32)
        for begin in range(0, len(clips), batch_clips):
            batch = clips[begin : begin + batch_clips]
            posteriors = self.posteriors(batch)
            end = begin + len(batch)
            logits[begin:end] = posteriors.logits.astype(np.float64) / self.package.temperature
            valence[begin:end] = posteriors.valence
            if progress is not None:
                progress(end, len(clips))
        return Scores(logits, valence)

    def posteriors(self, clips: Sequence[Clip]) -> Posteriors:
        """Posteriors of these clips before the last calibration, as they were evaluated: of the one fusion, or its members'
        combined.
        """
        tables: dict[str, dict[str, StreamTable]] = {}
        posteriors: dict[str, Posteriors] = {}
        for name, fusion in self._fusions.items():
            level = fusion.config.level
            if level not in tables:
                tables[level] = self._reader.streams(clips, level)
            posteriors[name] = predict_fusion(fusion, tables[level])
        if self.package.ensemble is None:
            return posteriors[self.package.system]
        return self.package.ensemble.combine(posteriors)

    def answers(
        self, clips: Sequence[Clip], scores: Scores, corrected: NDArray[np.float64] | None = None
    ) -> list[Prediction]:
        """The most probable class of every clip.

        Args:
            clips: N clips.
            scores: theirs.
            corrected: (N, C) log-posteriors to answer by instead, under other class priors; valence stays as it is.
        """
        values = scores.logits if corrected is None else corrected
        exponentials = np.exp(values - values.max(axis=1, keepdims=True))
        probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
        best = probabilities.argmax(axis=1)
        emotions = self.package.recipe.emotions
        return [
            Prediction(
                name=clip.name,
                discrete=emotions[int(label)],
                valence=float(scores.valence[row]),
                confidence=float(probabilities[row, label]),
            )
            for row, (clip, label) in enumerate(zip(clips, best, strict=True))
        ]


def answer_table(predictions: Sequence[Prediction]) -> str:
    """Predictions as CSV text `name,discrete,valence,confidence`."""
    lines = ["name,discrete,valence,confidence"]
    lines += [f"{_field(p.name)},{p.discrete},{p.valence:.4f},{p.confidence:.4f}" for p in predictions]
    return "\n".join(lines) + "\n"


def _field(text: str) -> str:
    # A name that starts like a formula must not run when the file is opened in a spreadsheet.
    safe = f"'{text}" if text[:1] in "=+-@\t\r" else text
    return f'"{safe.replace(chr(34), chr(34) * 2)}"' if any(c in safe for c in ',"\n') else safe


__all__ = ["Prediction", "Predictor", "Scores", "answer_table"]
