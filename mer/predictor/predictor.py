"""The served model: clips in, calibrated posteriors out. Holds all encoders in memory; knows no store and no flow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mer.clips import Clip
from mer.ensemble.posteriors import Posteriors
from mer.fusion.fit import FittedFusion, load_fusion, predict_fusion
from mer.fusion.streams import StreamTable
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


class Predictor:
    """A model version in memory.

    Args:
        folder: package folder (see `mer.predictor.package`).
        weights: cache folder of encoder weights.
    """

    def __init__(self, folder: Path, weights: Path) -> None:
        self.package = ModelPackage.read(folder)
        self._fusions: dict[str, FittedFusion] = {
            name: load_fusion(folder / own) for name, own in self.package.fusion_folders.items()
        }
        self._reader = StreamReader(self.package, folder, weights)

    def predict(
        self, clips: Sequence[Clip], progress: Progress | None = None, batch_clips: int = 64
    ) -> list[Prediction]:
        """Predictions in the order of `clips`; `progress(done, total)` is called after every batch."""
        answers: list[Prediction] = []
        for begin in range(0, len(clips), batch_clips):
            batch = clips[begin : begin + batch_clips]
            answers += self._answers(batch, self.posteriors(batch))
            if progress is not None:
                progress(len(answers), len(clips))
        return answers

    def posteriors(self, clips: Sequence[Clip]) -> Posteriors:
        """Posteriors of these clips before the last calibration, as they were evaluated: of the one fusion, or its members'
        combined.
        """
        tables: dict[str, dict[str, StreamTable]] = {}
        own: dict[str, Posteriors] = {}
        for name, fusion in self._fusions.items():
            level = fusion.config.level
            if level not in tables:
                tables[level] = self._reader.streams(clips, level)
            own[name] = predict_fusion(fusion, tables[level])
        if self.package.ensemble is None:
            return own[self.package.system]
        return self.package.ensemble.combine(own)

    def _answers(self, clips: Sequence[Clip], posteriors: Posteriors) -> list[Prediction]:
        probabilities = posteriors.probabilities(self.package.temperature)
        best = probabilities.argmax(axis=1)
        emotions = self.package.recipe.emotions
        return [
            Prediction(
                name=clip.name,
                discrete=emotions[int(label)],
                valence=float(posteriors.valence[row]),
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


__all__ = ["Prediction", "Predictor", "answer_table"]
